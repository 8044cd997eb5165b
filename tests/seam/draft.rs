//! Laws 9 and 10: the life of a draft, over a store that the test holds.

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

use crate::gated::{Gated, Gates, OPEN};

fn memory() -> Persistence {
    Persistence::builder().backend(MemoryBackend::new()).build().unwrap()
}

fn gated() -> (Persistence, Arc<Gates>) {
    let (gated, gates) = Gated::new(0, OPEN);
    (Persistence::builder().backend(gated).build().unwrap(), gates)
}

/// Writes fail, in a way that passes, while it says so.
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

/// Never by itself: only a flush, an end or so many bytes.
const BY_HAND: Coalesce = Coalesce { interval: Duration::from_secs(3600), bytes: 1 << 20 };

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
async fn the_id_is_stable_and_what_is_committed_is_published() {
    let db = memory();
    let mut draft = draft(&db, BY_HAND).await;
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
async fn the_first_append_sets_the_time_and_later_ones_do_not_move_it() {
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
    tokio::time::advance(Duration::from_millis(200)).await;
    draft.append("b").await.unwrap();
    mark.changed().await.unwrap();
    assert_eq!(mark.borrow_and_update().bytes, 2);
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(250) && took < Duration::from_millis(300), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn so_many_bytes_are_written_at_once() {
    let db = memory();
    let mut draft = draft(&db, Coalesce { bytes: 4, ..BY_HAND }).await;
    let mut mark = draft.watch();
    draft.append("abc").await.unwrap();
    draft.append("d").await.unwrap();
    mark.wait_for(|mark| mark.bytes == 4).await.unwrap();
    assert_eq!(stored(&db, &draft).await.0, text("abcd"));
}

#[tokio::test(start_paused = true)]
async fn one_write_at_a_time_and_none_after_the_end() {
    let (db, gates) = gated();
    gates.before.add_permits(1);
    let mut draft = draft(&db, Coalesce { bytes: 1, ..BY_HAND }).await;
    gates.arrival().await;
    for at in 0..20 {
        draft.append(at.to_string()).await.unwrap();
    }
    gates.arrival().await;
    for _ in 0..100 {
        yield_now().await;
    }
    assert_eq!(gates.arrived.available_permits(), 0, "one write is under way, and no other");
    gates.before.add_permits(OPEN);
    draft.finish().await.unwrap();
    let (content, state, revision) = stored(&db, &draft).await;
    assert_eq!((content, state), (text("012345678910111213141516171819"), MessageState::Final));
    tokio::time::advance(Duration::from_secs(7200)).await;
    for _ in 0..100 {
        yield_now().await;
    }
    assert_eq!(stored(&db, &draft).await.2, revision);
    // Asked again, the end is the same end; another one is refused; more content is not taken.
    assert_eq!(draft.finish().await.unwrap().revision.get(), revision);
    let error = draft.abandon("no").await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Stale, Effect::NotApplied));
    let error = draft.append("late").await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Stale, Effect::NotApplied));
}

#[tokio::test(start_paused = true)]
async fn abandoning_writes_what_waits_and_says_why() {
    let db = memory();
    let mut draft = draft(&db, BY_HAND).await;
    draft.append("half").await.unwrap();
    draft.abandon("the user pressed stop").await.unwrap();
    assert_eq!(stored(&db, &draft).await, (text("half"), MessageState::Abandoned, 2));
    let message = db.thread("t").get(draft.id().clone()).await.unwrap().unwrap();
    assert_eq!(message.abandon_reason.as_deref(), Some("the user pressed stop"));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_draft_writes_nothing_more_and_leaves_a_row_to_recover() {
    let db = memory();
    let mut draft = draft(&db, BY_HAND).await;
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
async fn a_finish_whose_caller_leaves_is_seen_through() {
    let (db, gates) = gated();
    gates.before.add_permits(1);
    let mut draft = draft(&db, BY_HAND).await;
    gates.arrival().await;
    let id = draft.id().clone();
    draft.append("all of it").await.unwrap();
    tokio::select! {
        biased;
        _ = draft.finish() => panic!("the gate is closed"),
        () = gates.arrival() => {}
    }
    drop(draft);
    gates.before.add_permits(OPEN);
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
async fn a_living_draft_renews_its_lease_and_a_sweep_spares_it() {
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
async fn a_message_settled_by_somebody_else_ends_the_draft() {
    let db = memory();
    let mut draft = draft(&db, BY_HAND).await;
    db.thread("t").delete(draft.id().clone()).await.unwrap();
    draft.append("x").await.unwrap();
    assert_eq!(draft.flush().await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(draft.append("y").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(draft.finish().await.unwrap_err().kind(), ErrorKind::NotFound);
}

/// A pipeline whose limit of content is that of this text.
fn limited(longest: &str) -> LimitsLayer {
    LimitsLayer::new().content_bytes(Content::text(longest).byte_len())
}

#[tokio::test(start_paused = true)]
async fn an_append_that_exceeds_the_limit_of_content_is_refused_and_the_draft_goes_on() {
    let db =
        Persistence::builder().layer(limited("0123456789")).backend(MemoryBackend::new()).build().unwrap();
    let mut draft = draft(&db, BY_HAND).await;
    for piece in ["0123", "4567"] {
        draft.append(piece).await.unwrap();
    }
    let error = draft.append("89x").await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::TooLarge, Effect::NotApplied));
    assert_eq!(draft.streamed_bytes(), 8);
    draft.append("89").await.unwrap();
    assert_eq!(draft.replace(Content::text("0123456789x")).await.unwrap_err().kind(), ErrorKind::TooLarge);
    draft.finish().await.unwrap();
    assert_eq!(stored(&db, &draft).await, (text("0123456789"), MessageState::Final, 2));
}

/// A layer that makes text longer than its writer can know.
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
    let mut draft = draft(&db, BY_HAND).await;
    draft.append("short").await.unwrap();
    draft.flush().await.unwrap();
    draft.append("er").await.unwrap();
    assert_eq!(draft.finish().await.unwrap_err().kind(), ErrorKind::TooLarge);
    assert_eq!(draft.finish().await.unwrap_err().kind(), ErrorKind::TooLarge);
    draft.abandon("too long").await.unwrap();
    assert_eq!(stored(&db, &draft).await, (text("shortshort"), MessageState::Abandoned, 3));
}

/// The write that is refused is under way, or not made yet, when the end is asked for.
#[tokio::test(start_paused = true)]
async fn an_end_that_was_asked_for_before_the_refusal_is_refused_as_well() {
    for bytes in [1, 6, 1 << 20] {
        let (gated, gates) = Gated::new(1, OPEN);
        let stack = Persistence::builder().layer(limited("0123456789")).layer(doubling());
        let db = stack.backend(gated).build().unwrap();
        let mut draft = draft(&db, Coalesce { bytes, ..BY_HAND }).await;
        gates.before.add_permits(OPEN);
        draft.append("half").await.unwrap();
        draft.append("whole").await.unwrap();
        // Nothing was awaited that the writer of the draft could have gone on in.
        assert_eq!(draft.finish().await.unwrap_err().kind(), ErrorKind::TooLarge, "gathered to {bytes}");
        assert!(draft.committed().bytes <= 4 && draft.streamed_bytes() == 9);
        let (content, state, _) = stored(&db, &draft).await;
        assert!(content == text("halfhalf") || content == "[]", "{content}");
        assert!(state.is_open(), "a reply that is cut short is not final: {state}");
        assert_eq!(draft.finish().await.unwrap_err().kind(), ErrorKind::TooLarge);
        draft.abandon("too long").await.unwrap();
        assert_eq!(stored(&db, &draft).await.1, MessageState::Abandoned);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_taken_after_an_end_whose_caller_left() {
    let (gated, gates) = Gated::new(1, OPEN);
    let db = Persistence::builder().backend(gated).build().unwrap();
    let mut draft = draft(&db, BY_HAND).await;
    gates.arrival().await;
    draft.append("all").await.unwrap();
    tokio::select! {
        biased;
        _ = draft.finish() => panic!("the gate is closed"),
        () = gates.arrival() => {}
    }
    tokio::select! {
        biased;
        _ = draft.append(" of it") => panic!("nobody knows yet whether the message is settled"),
        () = yield_now() => {}
    }
    gates.before.add_permits(OPEN);
    let error = draft.append(" of it").await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Stale, Effect::NotApplied));
    assert_eq!((draft.streamed_bytes(), draft.committed().bytes), (3, 3));
    draft.finish().await.unwrap();
    assert_eq!(stored(&db, &draft).await, (text("all"), MessageState::Final, 2));
}

/// The end is applied late, or was never.
#[tokio::test(start_paused = true)]
async fn nothing_is_taken_after_an_end_of_which_nobody_knows() {
    for is_applied_late in [true, false] {
        let (gated, gates) = Gated::new(1, OPEN);
        let db = Persistence::builder().deadline(Duration::from_secs(1)).backend(gated).build().unwrap();
        let mut draft = draft(&db, BY_HAND).await;
        draft.append("all").await.unwrap();
        let error = draft.finish().await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::Unknown));
        let error = draft.append(" of it").await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::NotApplied));
        if is_applied_late {
            gates.before.add_permits(1);
            while stored(&db, &draft).await.2 == 1 {
                yield_now().await;
            }
        }
        gates.before.add_permits(OPEN);
        let error = draft.append(" of it").await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Stale, Effect::NotApplied));
        assert_eq!((draft.streamed_bytes(), draft.flush().await.unwrap().bytes), (3, 3));
        draft.finish().await.unwrap();
        assert_eq!(stored(&db, &draft).await, (text("all"), MessageState::Final, 2));
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_whose_caller_left_and_that_failed_leaves_the_draft_open() {
    let (db, down) = failing();
    let mut draft = draft(&db, BY_HAND).await;
    draft.append("all").await.unwrap();
    down.store(true, Ordering::SeqCst);
    assert!(tokio::time::timeout(Duration::ZERO, draft.finish()).await.is_err(), "its caller left");
    draft.append(" of it").await.unwrap();
    down.store(false, Ordering::SeqCst);
    draft.finish().await.unwrap();
    assert_eq!(stored(&db, &draft).await.0, text("all of it"));
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_passes_leaves_everything_waiting() {
    let (db, down) = failing();
    let mut draft = draft(&db, BY_HAND).await;
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

/// A write that the store makes after its caller ran out of time.
#[tokio::test(start_paused = true)]
async fn a_write_that_is_applied_late_is_neither_lost_nor_mixed_with_what_came_after() {
    for end in ["append", "replace"] {
        let (gated, gates) = Gated::new(1, OPEN);
        let db = Persistence::builder().deadline(Duration::from_secs(1)).backend(gated).build().unwrap();
        let mut draft = draft(&db, BY_HAND).await;
        draft.append("AAA").await.unwrap();
        let error = draft.flush().await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::Unknown));
        if end == "append" {
            draft.append("BBB").await.unwrap();
        } else {
            draft.replace(Content::text("BBB")).await.unwrap();
        }
        // The first write is applied now, with nobody waiting for it.
        gates.before.add_permits(1);
        while stored(&db, &draft).await.2 == 1 {
            yield_now().await;
        }
        gates.before.add_permits(OPEN);
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
async fn the_second_writer_of_a_message_is_refused_and_claims_nothing() {
    let db = memory();
    let reserve = || db.thread("t").reserve(Role::Assistant).key("k").coalesce(BY_HAND);
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

/// A layer that takes only so much in one write.
#[tokio::test(start_paused = true)]
async fn gathered_text_that_is_too_large_for_one_write_is_written_in_its_parts() {
    let narrow = throughline::plugin::respond("narrow", |args: &throughline::PersistArgs, _: &_| {
        use throughline::messages::CarriesContent as _;
        let bytes: usize = args.content_fields().iter().map(|field| field.value.byte_len()).sum();
        let refusal = throughline::PersistError::new(ErrorKind::TooLarge, "too much in one write");
        (bytes > 1000).then(|| Err(refusal.with_effect(Effect::NotApplied)))
    });
    let db = Persistence::builder().plugin(narrow).backend(MemoryBackend::new()).build().unwrap();
    let mut draft = draft(&db, BY_HAND).await;
    let part = "x".repeat(100);
    for _ in 0..55 {
        draft.append(part.clone()).await.unwrap();
    }
    draft.finish().await.unwrap();
    assert_eq!(stored(&db, &draft).await.0, text(&"x".repeat(5500)));
    assert_eq!(draft.committed().bytes, 5500);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_makes_an_append_wait_and_a_closed_one_refuses_it() {
    let (db, gates) = gated();
    gates.before.add_permits(1);
    let mut draft = draft(&db, Coalesce { bytes: 1, ..BY_HAND }).await;
    let megabyte = "x".repeat(1 << 20);
    for _ in 0..4 {
        draft.append(megabyte.clone()).await.unwrap();
    }
    let more = tokio::time::timeout(Duration::from_secs(5), draft.append("y")).await;
    assert!(more.is_err(), "four megabytes wait, and no more");
    gates.before.add_permits(OPEN);
    draft.append("y").await.unwrap();
    draft.flush().await.unwrap();
    db.close().await.unwrap();
    draft.append("z").await.unwrap();
    assert_eq!(draft.flush().await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(draft.append("z").await.unwrap_err().kind(), ErrorKind::Unavailable);
}
