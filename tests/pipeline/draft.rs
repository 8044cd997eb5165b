//! Laws 9 and 10: the life cycle of a draft, over a store that the test can block.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use throughline::{
    Content, Draft, Effect, ErrorKind, MessageState, NewReservation, Persistence, Role,
    layers::limits::LimitsLayer,
    memory::MemoryBackend,
    messages::{Coalesce, Watermark},
};
use tokio::task::yield_now;

use crate::blocked::{Barriers, BlockedStore, OPEN};

fn memory() -> Persistence {
    Persistence::builder().backend(MemoryBackend::new()).build().unwrap()
}

fn blocked() -> (Persistence, Arc<Barriers>) {
    let (blocked, barriers) = BlockedStore::new(0, OPEN);
    (Persistence::builder().backend(blocked).build().unwrap(), barriers)
}

/// Returns a pipeline whose writes fail with a transient error while the flag is set.
fn failing() -> (Persistence, Arc<AtomicBool>) {
    let down = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&down);
    let fails = throughline::plugin::respond("fails", move |args: &throughline::PersistArgs, _: &_| {
        let fail = args.kind().is_write() && switch.load(Ordering::SeqCst);
        fail.then(|| Err(throughline::PersistError::new(ErrorKind::Busy, "locked")))
    });
    let db = Persistence::builder().plugin(fails).backend(MemoryBackend::new()).build().unwrap();
    (db, down)
}

/// Disables the timer: only a flush, an end or the size limit causes a write.
const ONLY_ON_FLUSH: Coalesce = Coalesce { interval: Duration::from_secs(3600), bytes: 1 << 20 };

async fn draft(db: &Persistence, coalesce: Coalesce) -> Draft {
    db.thread("t").reserve(Role::Assistant).coalesce(coalesce).await.unwrap()
}

async fn stored(db: &Persistence, draft: &Draft) -> (String, MessageState, u64) {
    let message = db.thread("t").get(draft.id().clone()).await.unwrap().unwrap();
    (message.content.as_json().to_owned(), message.state, message.revision.get())
}

fn text(text: &str) -> String {
    Content::text(text).as_json().to_owned()
}

#[tokio::test(start_paused = true)]
async fn the_id_is_stable_and_the_watermark_advances_with_each_commit() {
    let db = memory();
    let mut draft = draft(&db, ONLY_ON_FLUSH).await;
    assert_eq!(stored(&db, &draft).await, ("[]".to_owned(), MessageState::Reserved, 1));
    draft.append("Hel").await.unwrap();
    draft.append("lo").await.unwrap();
    assert_eq!(draft.committed(), Watermark { bytes: 0, revision: throughline::Revision::FIRST });
    assert_eq!(draft.streamed_bytes(), 5);
    let mark = draft.flush().await.unwrap();
    assert_eq!((mark.bytes, mark.revision.get()), (5, 2));
    assert_eq!(stored(&db, &draft).await, (text("Hello"), MessageState::Streaming, 2));
    draft.append("!").await.unwrap();
    let settled = draft.finish().await.unwrap();
    assert_eq!((&settled.id, settled.revision.get(), settled.state), (draft.id(), 3, MessageState::Final));
    assert_eq!(stored(&db, &draft).await, (text("Hello!"), MessageState::Final, 3));
    assert_eq!(draft.committed().bytes, 6);
}

#[tokio::test(start_paused = true)]
async fn later_appends_do_not_delay_the_coalesced_write() {
    let db = memory();
    let coalesce = Coalesce { interval: Duration::from_millis(250), bytes: 1 << 20 };
    let mut draft = draft(&db, coalesce).await;
    let mut mark = draft.watch();
    mark.borrow_and_update();
    let begun = tokio::time::Instant::now();
    draft.append("a").await.unwrap();
    for _ in 0..10 {
        yield_now().await;
    }
    tokio::time::advance(Duration::from_millis(180)).await;
    draft.append("b").await.unwrap();
    mark.changed().await.unwrap();
    assert_eq!(mark.borrow_and_update().bytes, 2);
    let took = begun.elapsed();
    // A draft writes up to a quarter of its interval early, with the other drafts. A timer ends at a whole millisecond.
    assert!(took >= Duration::from_millis(187) && took <= Duration::from_millis(251), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn pending_text_is_written_when_it_reaches_the_coalescing_size() {
    let db = memory();
    let mut draft = draft(&db, Coalesce { bytes: 4, ..ONLY_ON_FLUSH }).await;
    let mut mark = draft.watch();
    let begun = tokio::time::Instant::now();
    draft.append("abc").await.unwrap();
    // The task of the draft receives the first append and waits for the interval.
    for _ in 0..10 {
        yield_now().await;
    }
    draft.append("d").await.unwrap();
    mark.wait_for(|mark| mark.bytes == 4).await.unwrap();
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(stored(&db, &draft).await.0, text("abcd"));
}

#[tokio::test(start_paused = true)]
async fn appends_do_not_wait_for_the_interval_however_many_they_are() {
    let db = memory();
    let mut draft = draft(&db, ONLY_ON_FLUSH).await;
    let begun = tokio::time::Instant::now();
    // More changes than wait for the task of the draft.
    for _ in 0..1000 {
        draft.append("x").await.unwrap();
    }
    assert_eq!((begun.elapsed(), draft.committed().bytes), (Duration::ZERO, 0));
    draft.finish().await.unwrap();
    assert_eq!(stored(&db, &draft).await.0, text(&"x".repeat(1000)));
}

#[tokio::test(start_paused = true)]
async fn a_draft_runs_one_write_at_a_time_and_none_after_finish() {
    let (db, barriers) = blocked();
    barriers.before.add_permits(1);
    let mut draft = draft(&db, Coalesce { bytes: 1, ..ONLY_ON_FLUSH }).await;
    barriers.arrival().await;
    for at in 0..20 {
        draft.append(at.to_string()).await.unwrap();
    }
    barriers.arrival().await;
    for _ in 0..100 {
        yield_now().await;
    }
    assert_eq!(barriers.arrived.available_permits(), 0, "only one write is running");
    barriers.before.add_permits(OPEN);
    draft.finish().await.unwrap();
    let (content, state, revision) = stored(&db, &draft).await;
    assert_eq!((content, state), (text("012345678910111213141516171819"), MessageState::Final));
    tokio::time::advance(Duration::from_secs(7200)).await;
    for _ in 0..100 {
        yield_now().await;
    }
    assert_eq!(stored(&db, &draft).await.2, revision);
    // A second `finish` returns the same result; another end and more content are refused.
    assert_eq!(draft.finish().await.unwrap().revision.get(), revision);
    let error = draft.abandon("no").await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Stale, Effect::NotApplied));
    let error = draft.append("late").await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Stale, Effect::NotApplied));
}

#[tokio::test(start_paused = true)]
async fn abandon_writes_pending_text_and_stores_the_reason() {
    let db = memory();
    let mut draft = draft(&db, ONLY_ON_FLUSH).await;
    draft.append("half").await.unwrap();
    draft.abandon("the user pressed stop").await.unwrap();
    assert_eq!(stored(&db, &draft).await, (text("half"), MessageState::Abandoned, 2));
    let message = db.thread("t").get(draft.id().clone()).await.unwrap().unwrap();
    assert_eq!(message.abandon_reason.as_deref(), Some("the user pressed stop"));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_draft_writes_nothing_more_and_leaves_an_open_message() {
    let db = memory();
    let mut draft = draft(&db, ONLY_ON_FLUSH).await;
    let id = draft.id().clone();
    draft.append("kept").await.unwrap();
    draft.flush().await.unwrap();
    draft.append(" lost").await.unwrap();
    drop(draft);
    tokio::time::advance(Duration::from_secs(7200)).await;
    for _ in 0..100 {
        yield_now().await;
    }
    let open = db.open_reservations(10).await.unwrap().messages;
    assert_eq!(open.len(), 1);
    assert_eq!((&open[0].id, open[0].content.as_json()), (&id, text("kept").as_str()));
}

#[tokio::test(start_paused = true)]
async fn a_finish_completes_after_its_caller_dropped_it() {
    let (db, barriers) = blocked();
    barriers.before.add_permits(1);
    let mut draft = draft(&db, ONLY_ON_FLUSH).await;
    barriers.arrival().await;
    let id = draft.id().clone();
    draft.append("all of it").await.unwrap();
    tokio::select! {
        biased;
        _ = draft.finish() => panic!("the barrier is closed"),
        () = barriers.arrival() => {}
    }
    drop(draft);
    barriers.before.add_permits(OPEN);
    let message = loop {
        let message = db.thread("t").get(id.clone()).await.unwrap().unwrap();
        if !message.state.is_open() {
            break message;
        }
        yield_now().await;
    };
    assert_eq!((message.content.as_json(), message.state), (text("all of it").as_str(), MessageState::Final));
}

#[tokio::test(start_paused = true)]
async fn a_live_draft_renews_its_lease_and_is_not_recovered() {
    let now = Arc::new(AtomicI64::new(0));
    let clock = Arc::clone(&now);
    let db = Persistence::builder()
        .clock(move || throughline::Timestamp::from_micros(clock.load(Ordering::SeqCst)))
        .backend(MemoryBackend::new())
        .build()
        .unwrap();
    let lease = NewReservation::new(Role::Assistant).with_lease(Duration::from_secs(30));
    let draft = db.thread("t").reserve(lease).await.unwrap();
    for second in 1..=100 {
        now.store(second * 1_000_000, Ordering::SeqCst);
        tokio::time::advance(Duration::from_secs(1)).await;
        for _ in 0..20 {
            yield_now().await;
        }
        let recovered = db.recover_expired_drafts("crashed").await.unwrap();
        assert_eq!(recovered.abandoned.len(), 0, "after {second} s");
    }
    assert_eq!(stored(&db, &draft).await, ("[]".to_owned(), MessageState::Reserved, 1));
    let id = draft.id().clone();
    drop(draft);
    now.store(131 * 1_000_000, Ordering::SeqCst);
    let recovered = db.recover_expired_drafts("crashed").await.unwrap();
    assert_eq!(recovered.abandoned, [("t".parse().unwrap(), id)]);
    assert!(db.recover_expired_drafts("crashed").await.unwrap().abandoned.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_draft_fails_after_another_caller_deletes_its_message() {
    let db = memory();
    let mut draft = draft(&db, ONLY_ON_FLUSH).await;
    db.thread("t").delete(draft.id().clone()).await.unwrap();
    draft.append("x").await.unwrap();
    assert_eq!(draft.flush().await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(draft.append("y").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(draft.finish().await.unwrap_err().kind(), ErrorKind::NotFound);
}

/// A limits layer whose content limit is the size of this text.
fn limited(longest: &str) -> LimitsLayer {
    LimitsLayer::new().content_bytes(Content::text(longest).byte_len())
}

#[tokio::test(start_paused = true)]
async fn an_append_above_the_content_limit_is_refused_and_the_draft_continues() {
    let db =
        Persistence::builder().layer(limited("0123456789")).backend(MemoryBackend::new()).build().unwrap();
    let mut draft = draft(&db, ONLY_ON_FLUSH).await;
    for part in ["0123", "4567"] {
        draft.append(part).await.unwrap();
    }
    let error = draft.append("89x").await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::TooLarge, Effect::NotApplied));
    assert_eq!(draft.streamed_bytes(), 8);
    draft.append("89").await.unwrap();
    assert_eq!(draft.replace(Content::text("0123456789x")).await.unwrap_err().kind(), ErrorKind::TooLarge);
    draft.finish().await.unwrap();
    assert_eq!(stored(&db, &draft).await, (text("0123456789"), MessageState::Final, 2));
}

/// A layer that doubles text, so that the writer cannot know the stored size.
fn doubling() -> throughline::plugin::FromFn<impl throughline::plugin::AsyncRequestFn> {
    throughline::plugin::from_fn(
        "doubling",
        throughline::Phase::Transform,
        |mut request: throughline::PersistRequest, next: throughline::plugin::NextRequest| {
            use throughline::messages::CarriesContent as _;
            for field in request.args.content_fields_mut() {
                if let throughline::messages::FieldValueMut::Delta(throughline::Delta::Text(text)) =
                    field.value
                {
                    *text = text.repeat(2);
                }
            }
            next.run(request)
        },
    )
}

#[tokio::test(start_paused = true)]
async fn a_draft_that_the_store_refuses_as_too_large_can_be_abandoned() {
    let stack = Persistence::builder().layer(limited("0123456789")).layer(doubling());
    let db = stack.backend(MemoryBackend::new()).build().unwrap();
    let mut draft = draft(&db, ONLY_ON_FLUSH).await;
    draft.append("short").await.unwrap();
    draft.flush().await.unwrap();
    draft.append("er").await.unwrap();
    assert_eq!(draft.finish().await.unwrap_err().kind(), ErrorKind::TooLarge);
    assert_eq!(draft.finish().await.unwrap_err().kind(), ErrorKind::TooLarge);
    draft.abandon("too long").await.unwrap();
    assert_eq!(stored(&db, &draft).await, (text("shortshort"), MessageState::Abandoned, 3));
}

/// The refused write is running, or has not begun, when `finish` is called.
#[tokio::test(start_paused = true)]
async fn finish_fails_when_an_earlier_write_of_the_draft_is_refused() {
    for bytes in [1, 6, 1 << 20] {
        let (blocked, barriers) = BlockedStore::new(1, OPEN);
        let stack = Persistence::builder().layer(limited("0123456789")).layer(doubling());
        let db = stack.backend(blocked).build().unwrap();
        let mut draft = draft(&db, Coalesce { bytes, ..ONLY_ON_FLUSH }).await;
        barriers.before.add_permits(OPEN);
        draft.append("half").await.unwrap();
        draft.append("whole").await.unwrap();
        // No await in between, so the background writer of the draft could not run.
        assert_eq!(draft.finish().await.unwrap_err().kind(), ErrorKind::TooLarge, "coalesced to {bytes}");
        assert!(draft.committed().bytes <= 4 && draft.streamed_bytes() == 9);
        let (content, state, _) = stored(&db, &draft).await;
        assert!(content == text("halfhalf") || content == "[]", "{content}");
        assert!(state.is_open(), "a truncated reply is not final: {state}");
        assert_eq!(draft.finish().await.unwrap_err().kind(), ErrorKind::TooLarge);
        draft.abandon("too long").await.unwrap();
        assert_eq!(stored(&db, &draft).await.1, MessageState::Abandoned);
    }
}

#[tokio::test(start_paused = true)]
async fn append_after_a_dropped_finish_is_refused() {
    let (blocked, barriers) = BlockedStore::new(1, OPEN);
    let db = Persistence::builder().backend(blocked).build().unwrap();
    let mut draft = draft(&db, ONLY_ON_FLUSH).await;
    barriers.arrival().await;
    draft.append("all").await.unwrap();
    tokio::select! {
        biased;
        _ = draft.finish() => panic!("the barrier is closed"),
        () = barriers.arrival() => {}
    }
    tokio::select! {
        biased;
        _ = draft.append(" of it") => panic!("the outcome of `finish` is still unknown"),
        () = yield_now() => {}
    }
    barriers.before.add_permits(OPEN);
    let error = draft.append(" of it").await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Stale, Effect::NotApplied));
    assert_eq!((draft.streamed_bytes(), draft.committed().bytes), (3, 3));
    draft.finish().await.unwrap();
    assert_eq!(stored(&db, &draft).await, (text("all"), MessageState::Final, 2));
}

/// The store applies the finish late, or never.
#[tokio::test(start_paused = true)]
async fn append_after_a_finish_with_an_unknown_outcome_is_refused() {
    for is_applied_late in [true, false] {
        let (blocked, barriers) = BlockedStore::new(1, OPEN);
        let db = Persistence::builder().deadline(Duration::from_secs(1)).backend(blocked).build().unwrap();
        let mut draft = draft(&db, ONLY_ON_FLUSH).await;
        draft.append("all").await.unwrap();
        let error = draft.finish().await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::Unknown));
        let error = draft.append(" of it").await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::NotApplied));
        if is_applied_late {
            barriers.before.add_permits(1);
            while stored(&db, &draft).await.2 == 1 {
                yield_now().await;
            }
        }
        barriers.before.add_permits(OPEN);
        let error = draft.append(" of it").await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Stale, Effect::NotApplied));
        assert_eq!((draft.streamed_bytes(), draft.flush().await.unwrap().bytes), (3, 3));
        draft.finish().await.unwrap();
        assert_eq!(stored(&db, &draft).await, (text("all"), MessageState::Final, 2));
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_finish_that_fails_leaves_the_draft_open() {
    let (db, down) = failing();
    let mut draft = draft(&db, ONLY_ON_FLUSH).await;
    draft.append("all").await.unwrap();
    down.store(true, Ordering::SeqCst);
    assert!(tokio::time::timeout(Duration::ZERO, draft.finish()).await.is_err(), "the caller dropped it");
    draft.append(" of it").await.unwrap();
    down.store(false, Ordering::SeqCst);
    draft.finish().await.unwrap();
    assert_eq!(stored(&db, &draft).await.0, text("all of it"));
}

#[tokio::test(start_paused = true)]
async fn pending_text_survives_a_transient_failure() {
    let (db, down) = failing();
    let mut draft = draft(&db, ONLY_ON_FLUSH).await;
    down.store(true, Ordering::SeqCst);
    draft.append("a").await.unwrap();
    assert_eq!(draft.flush().await.unwrap_err().kind(), ErrorKind::Busy);
    draft.append("b").await.unwrap();
    assert_eq!(draft.finish().await.unwrap_err().kind(), ErrorKind::Busy);
    assert_eq!(draft.committed().bytes, 0);
    down.store(false, Ordering::SeqCst);
    draft.finish().await.unwrap();
    assert_eq!(stored(&db, &draft).await.0, text("ab"));
    assert_eq!(draft.committed().bytes, 2);
}

/// The store performs the write after the deadline of its caller.
#[tokio::test(start_paused = true)]
async fn a_write_that_is_applied_late_is_neither_lost_nor_repeated() {
    for end in ["append", "replace"] {
        let (blocked, barriers) = BlockedStore::new(1, OPEN);
        let db = Persistence::builder().deadline(Duration::from_secs(1)).backend(blocked).build().unwrap();
        let mut draft = draft(&db, ONLY_ON_FLUSH).await;
        draft.append("AAA").await.unwrap();
        let error = draft.flush().await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::Unknown));
        if end == "append" {
            draft.append("BBB").await.unwrap();
        } else {
            draft.replace(Content::text("BBB")).await.unwrap();
        }
        // The store applies the first write now, after its caller timed out.
        barriers.before.add_permits(1);
        while stored(&db, &draft).await.2 == 1 {
            yield_now().await;
        }
        barriers.before.add_permits(OPEN);
        draft.finish().await.unwrap();
        let (expected, bytes) = match end {
            "append" => (text("AAABBB"), 3 + 3),
            _ => (text("BBB"), 3 + text("BBB").len() as u64),
        };
        assert_eq!(stored(&db, &draft).await, (expected, MessageState::Final, 3), "{end}");
        assert_eq!(draft.committed().bytes, bytes);
    }
}

#[tokio::test(start_paused = true)]
async fn the_second_writer_of_a_message_is_refused_and_its_watermark_stays_at_zero() {
    let db = memory();
    let reserve = || db.thread("t").reserve(Role::Assistant).key("k").coalesce(ONLY_ON_FLUSH);
    let (mut first, mut second) = (reserve().await.unwrap(), reserve().await.unwrap());
    assert!(second.deduplicated() && first.id() == second.id());
    first.append("first").await.unwrap();
    first.flush().await.unwrap();
    second.append("SECOND").await.unwrap();
    assert_eq!(second.flush().await.unwrap_err().kind(), ErrorKind::Stale);
    assert_eq!(second.finish().await.unwrap_err().kind(), ErrorKind::Stale);
    assert_eq!(second.committed().bytes, 0);
    first.finish().await.unwrap();
    assert_eq!(stored(&db, &first).await.0, text("first"));
}

/// A layer that accepts a limited number of bytes in one write.
#[tokio::test(start_paused = true)]
async fn coalesced_text_that_is_too_large_for_one_write_is_split() {
    let narrow = throughline::plugin::respond("narrow", |args: &throughline::PersistArgs, _: &_| {
        use throughline::messages::CarriesContent as _;
        let bytes: usize = args.content_fields().iter().map(|field| field.value.byte_len()).sum();
        let refusal = throughline::PersistError::new(ErrorKind::TooLarge, "too much in one write");
        (bytes > 1000).then(|| Err(refusal.with_effect(Effect::NotApplied)))
    });
    let db = Persistence::builder().plugin(narrow).backend(MemoryBackend::new()).build().unwrap();
    let mut draft = draft(&db, ONLY_ON_FLUSH).await;
    let part = "x".repeat(100);
    for _ in 0..55 {
        draft.append(part.clone()).await.unwrap();
    }
    draft.finish().await.unwrap();
    assert_eq!(stored(&db, &draft).await.0, text(&"x".repeat(5500)));
    assert_eq!(draft.committed().bytes, 5500);
}

#[tokio::test(start_paused = true)]
async fn appends_wait_while_the_store_is_blocked_and_are_refused_after_close() {
    let (db, barriers) = blocked();
    barriers.before.add_permits(1);
    let mut draft = draft(&db, Coalesce { bytes: 1, ..ONLY_ON_FLUSH }).await;
    let megabyte = "x".repeat(1 << 20);
    for _ in 0..4 {
        draft.append(megabyte.clone()).await.unwrap();
    }
    let more = tokio::time::timeout(Duration::from_secs(5), draft.append("y")).await;
    assert!(more.is_err(), "at most four megabytes are pending");
    barriers.before.add_permits(OPEN);
    draft.append("y").await.unwrap();
    draft.flush().await.unwrap();
    db.close().await.unwrap();
    draft.append("z").await.unwrap();
    assert_eq!(draft.flush().await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(draft.append("z").await.unwrap_err().kind(), ErrorKind::Unavailable);
}
