//! The streaming writer: what is pending is written in order before the end, and nothing after it.

use std::{sync::Arc, time::Duration};

use throughline_core::{
    Content, Draft, Effect, ErrorKind, Message, MessageState, NewReservation, Persistence, Role, Thread,
    messages::{Coalesce, ContentChange, UpdateContent, UpdateMode},
};

use crate::{
    check::checks,
    rig::Rig,
    shorthand::{id, the, thread_id},
    tap::{Fault, Faults},
    timers::{advance_timers, on_other_runtime, settle},
};

checks! {
    Core "drafts.finish_writes_pending_appends_first" ("VL-S13") [Reserve UpdateContent Read] "finish writes the pending appends first, and no write follows it" => finish;
    Core "drafts.abandon_writes_pending_appends_first" ("VL-S13") [Reserve UpdateContent Read] "abandon writes the pending appends first and stores its reason" => abandon;
    Core "drafts.dropped_draft_stays_open" ("VL-S13") [Reserve UpdateContent Read] "a dropped draft stays an open message with its committed content" => dropped;
    Core "drafts.transient_failure_loses_no_append" ("VL-S13") [Reserve UpdateContent Read] "after a transient failure the draft writes every append once, in order" => error;
    Core "drafts.append_with_lost_answer_is_written_once" ("VL-S13") [Reserve UpdateContent Read] "an append whose answer was lost is written once" => answer_lost;
    Core "drafts.message_settled_elsewhere_is_reported" ("VL-S13") [Reserve UpdateContent Delete Read] "a draft reports that another writer settled or deleted its message, and does not change it" => settled_elsewhere;
    Core "drafts.watermark_is_durable_and_monotonic" ("VL-S13") [Reserve UpdateContent Read] "the published watermark covers committed content only and never decreases" => watermark;
    Core "drafts.pending_appends_are_flushed_by_time" ("VL-S13") [Reserve UpdateContent Read] "pending appends are written when the flush interval ends" => timer;
    Core "drafts.pending_appends_are_flushed_by_size" ("VL-S13") [Reserve UpdateContent Read] "pending appends are written at once when they reach the flush size" => size;
}

/// Buffers until an explicit flush: no timer writes.
const NEVER: Coalesce = Coalesce { interval: Duration::from_secs(3600), bytes: 1 << 30 };

async fn draft(db: &Persistence, coalesce: Coalesce) -> Draft {
    let lease = Duration::from_secs(30 * 24 * 3600);
    let reservation = NewReservation::new(Role::Assistant).with_id(id("m")).with_lease(lease);
    db.thread("t").reserve(reservation).coalesce(coalesce).await.unwrap()
}

/// Long enough for every timer of a draft, and for what it would write.
async fn timers_fire() {
    advance_timers(NEVER.interval * 2).await;
}

/// The message after the timers have fired.
async fn after_all(thread: &Thread) -> Message {
    let thread = thread.clone();
    on_other_runtime(async move { thread.get(id("m")).await }).await.expect("a read").expect("it is there")
}

async fn finish(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let mut draft = draft(&db, NEVER).await;
    for chunk in ["a", "b", "c"] {
        draft.append(chunk).await.unwrap();
    }
    draft.append_blocks(crate::shorthand::json("[1.10]")).await.unwrap();
    draft.append("d").await.unwrap();
    assert_eq!(the(&thread, "m").await.state, MessageState::Reserved, "nothing is written yet");
    let done = draft.finish().await.unwrap();
    let after = the(&thread, "m").await;
    assert_eq!(after.content.as_json(), r#"[{"type":"text","text":"abc"},1.10,{"type":"text","text":"d"}]"#);
    assert_eq!((after.state, after.revision), (MessageState::Final, done.revision));
    assert_eq!(draft.committed().bytes, draft.streamed_bytes());
    // Finishing again is the same; going on is refused by nothing being there to go on with.
    assert_eq!(draft.finish().await.unwrap(), done);
    drop(draft.append("late").await);
    timers_fire().await;
    drop(draft);
    timers_fire().await;
    assert_eq!(after_all(&thread).await, after);
}

async fn abandon(rig: Rig) {
    let db = rig.db().await;
    let mut draft = draft(&db, NEVER).await;
    draft.append("so").await.unwrap();
    draft.flush().await.unwrap();
    draft.append(" far").await.unwrap();
    draft.abandon("cancelled by the user").await.unwrap();
    let after = the(&db.thread("t"), "m").await;
    assert_eq!((&after.content, after.state), (&Content::text("so far"), MessageState::Abandoned));
    assert_eq!(after.abandon_reason.as_deref(), Some("cancelled by the user"));
    assert_eq!(draft.finish().await.expect_err("settled already").kind(), ErrorKind::Stale);
    timers_fire().await;
    assert_eq!(after_all(&db.thread("t")).await, after);
}

async fn dropped(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let mut draft = draft(&db, NEVER).await;
    draft.append("committed").await.unwrap();
    let mark = draft.flush().await.unwrap();
    draft.append("pending").await.unwrap();
    drop(draft);
    timers_fire().await;
    let after = after_all(&thread).await;
    assert_eq!((&after.content, after.state), (&Content::text("committed"), MessageState::Streaming));
    assert_eq!(after.revision, mark.revision);
    let open = on_other_runtime(async move { thread.open_reservations(10).await }).await.unwrap().messages;
    assert_eq!(open, [after]);
}

async fn faulty(rig: &Rig) -> (Persistence, Thread, Arc<Faults>) {
    let faults = Faults::new();
    let backend = rig.tapped(&faults).await;
    let db = rig.builder().backend(backend).build().unwrap();
    let thread = db.thread("t");
    (db, thread, faults)
}

async fn error(rig: Rig) {
    let (db, thread, faults) = faulty(&rig).await;
    let mut draft = draft(&db, NEVER).await;
    draft.append("a").await.unwrap();
    faults.next(Fault::Busy, 1);
    assert_eq!(draft.flush().await.expect_err("busy").kind(), ErrorKind::Busy);
    assert_eq!(draft.committed().bytes, 0);
    draft.append("b").await.unwrap();
    faults.next(Fault::Unreachable, 1);
    assert_eq!(draft.finish().await.expect_err("away").kind(), ErrorKind::Unavailable);
    assert_eq!(the(&thread, "m").await.state, MessageState::Reserved);
    draft.append("c").await.unwrap();
    draft.finish().await.expect("it has passed");
    assert_eq!(the(&thread, "m").await.content, Content::text("abc"));
}

async fn answer_lost(rig: Rig) {
    let (db, thread, faults) = faulty(&rig).await;
    let mut draft = draft(&db, NEVER).await;
    draft.append("a").await.unwrap();
    faults.next(Fault::AnswerLost, 1);
    // It may find out by itself, or say that it does not know; asked again, it knows.
    if let Err(error) = draft.flush().await {
        assert_eq!((error.effect(), draft.committed().bytes), (Effect::Unknown, 0), "{error}");
        draft.flush().await.expect("it finds that it was written");
    }
    assert_eq!(draft.committed().bytes, 1);
    draft.append("b").await.unwrap();
    faults.next(Fault::AnswerLost, 1);
    let done = match draft.finish().await {
        Err(error) => {
            assert_eq!(error.effect(), Effect::Unknown, "{error}");
            draft.finish().await
        }
        done => done,
    };
    let after = the(&thread, "m").await;
    assert_eq!((&after.content, after.state), (&Content::text("ab"), MessageState::Final));
    assert_eq!(
        (after.revision.get(), done.expect("it finds that it was finished").revision),
        (3, after.revision)
    );
}

async fn settled_elsewhere(rig: Rig) {
    for delete in [false, true] {
        let rig = rig.sibling(if delete { "deleted" } else { "recovered" });
        let db = rig.db().await;
        let thread = db.thread("t");
        let mut draft = draft(&db, NEVER).await;
        draft.append("a").await.unwrap();
        draft.flush().await.unwrap();
        if delete {
            thread.delete(id("m")).await.unwrap();
        } else {
            rig.clock.advance(Duration::from_secs(31 * 24 * 3600));
            // Another process recovers expired drafts and does not know that the writer still has the draft.
            let mode = UpdateMode::Abandon { reason: Some("gone".to_owned()) };
            let recovery = UpdateContent::new(thread_id("t"), id("m"), ContentChange::none(), mode);
            assert!(db.recover_expired_drafts("gone").await.unwrap().abandoned.is_empty());
            db.run(recovery.only_if_expired()).await.unwrap();
        }
        let before = thread.get(id("m")).await.unwrap();
        draft.append("b").await.unwrap();
        let due = if delete { ErrorKind::NotFound } else { ErrorKind::Stale };
        assert_eq!(draft.finish().await.expect_err("settled elsewhere").kind(), due);
        assert_eq!(draft.append("c").await.expect_err("it knows by now").kind(), due);
        assert_eq!(thread.get(id("m")).await.unwrap(), before);
    }
}

async fn watermark(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let mut draft = draft(&db, NEVER).await;
    assert_eq!((draft.committed().bytes, draft.committed().revision.get()), (0, 1));
    let mut whole = String::new();
    let mut last = draft.committed();
    for number in 0..20 {
        let chunk = format!("{number} ");
        draft.append(chunk.as_str()).await.unwrap();
        whole.push_str(&chunk);
        assert_eq!(draft.committed(), last, "an append is not a commit");
        let mark = draft.flush().await.unwrap();
        assert!(mark.bytes > last.bytes && mark.revision > last.revision);
        assert_eq!((mark, mark.bytes), (draft.committed(), whole.len() as u64));
        let read = the(&thread, "m").await;
        assert_eq!((&read.content, read.revision), (&Content::text(&whole), mark.revision));
        last = mark;
    }
}

async fn timer(rig: Rig) {
    let db = rig.db().await;
    let mut draft = draft(&db, Coalesce { interval: Duration::from_secs(10), bytes: 1 << 30 }).await;
    let mut committed = draft.watch();
    draft.append("a").await.unwrap();
    draft.append("b").await.unwrap();
    settle().await;
    assert_eq!(draft.committed().bytes, 0);
    advance_timers(Duration::from_secs(11)).await;
    committed.wait_for(|mark| mark.bytes == 2).await.expect("the draft lives");
    assert_eq!(after_all(&db.thread("t")).await.content, Content::text("ab"));
}

async fn size(rig: Rig) {
    let db = rig.db().await;
    let mut draft = draft(&db, Coalesce { interval: NEVER.interval, bytes: 4 }).await;
    draft.append("abc").await.unwrap();
    settle().await;
    assert_eq!(draft.committed().bytes, 0);
    draft.append("d").await.unwrap();
    draft.watch().wait_for(|mark| mark.bytes == 4).await.expect("the draft lives");
    assert_eq!(the(&db.thread("t"), "m").await.content, Content::text("abcd"));
}
