//! Laws 9, 10 and 14: a draft over a store that fails. What waits is bounded and gathered, and what is published as
//! committed is committed.

use std::time::Duration;

use throughline::{
    Draft, Effect, ErrorKind, MessageState, OpKind, Persistence, Role,
    memory::MemoryBackend,
    messages::{Coalesce, ContentChange, UpdateContent, UpdateMode},
};

use crate::faults::{
    Fault::{self, AnswerLost, NeverArrived, Refused},
    Faults,
};
use crate::gated::{Gated, OPEN};

/// Never by itself: only a flush, an end or so many bytes.
const BY_HAND: Coalesce = Coalesce { interval: Duration::from_secs(3600), bytes: 1 << 20 };

fn faulty() -> (Persistence, Faults) {
    let faults = Faults::default();
    let stack = Persistence::builder().layer(faults.layer());
    (stack.backend(MemoryBackend::new()).build().unwrap(), faults)
}

async fn draft(db: &Persistence, coalesce: Coalesce) -> Draft {
    db.thread("t").reserve(Role::Assistant).coalesce(coalesce).await.unwrap()
}

/// What the store has: its text and how that ends.
async fn stored(db: &Persistence, draft: &Draft) -> (String, MessageState) {
    let message = db.thread("t").get(draft.id().clone()).await.unwrap().unwrap();
    let blocks: Vec<serde_json::Value> = serde_json::from_str(message.content.as_json()).unwrap();
    let text = blocks.iter().map(|block| block["text"].as_str().unwrap()).collect();
    (text, message.state)
}

/// What is published is in the store, and at the beginning of what was given.
async fn assert_truthful(db: &Persistence, draft: &Draft, given: &str) {
    let (text, _) = stored(db, draft).await;
    let published = usize::try_from(draft.committed().bytes).unwrap();
    assert!(given.starts_with(&text), "{text:?} is stored of {given:?}");
    assert!(published <= text.len(), "{published} bytes are published, and {} are stored", text.len());
}

#[tokio::test(start_paused = true)]
async fn what_waits_through_an_outage_is_gathered_and_written_in_few_writes() {
    let (db, faults) = faulty();
    let coalesce = Coalesce::default();
    let mut draft = draft(&db, coalesce).await;
    faults.down(true);
    let piece = "0123456789abcdef".repeat(4);
    let whole = piece.repeat(16 * 1024);
    for _ in 0..16 * 1024 {
        draft.append(piece.clone()).await.unwrap();
    }
    // No time has passed: a full buffer is no reason to ask again what has just refused.
    let asked = faults.writes();
    assert!((1..=2).contains(&asked), "{asked} writes at once");
    assert_eq!(draft.flush().await.unwrap_err().kind(), ErrorKind::Busy);
    faults.writes();
    // As often as it would have written anyhow, however much waits.
    tokio::time::sleep(Duration::from_secs(60)).await;
    let asked = faults.writes();
    let often = 60_000 / usize::try_from(coalesce.interval.as_millis()).unwrap();
    assert!((1..=often + 1).contains(&asked), "{asked} writes in a minute of outage");
    assert_eq!((draft.committed().bytes, stored(&db, &draft).await.0.as_str()), (0, ""));
    faults.down(false);
    draft.flush().await.unwrap();
    let needed = whole.len() / coalesce.bytes;
    let written = faults.writes();
    assert!(written <= needed + 1, "{written} writes where {needed} are enough");
    assert_eq!(draft.committed().bytes, whole.len() as u64);
    assert!(stored(&db, &draft).await.0 == whole, "all of it, once and in order");
}

#[tokio::test(start_paused = true)]
async fn what_is_published_as_committed_is_committed_through_every_kind_of_failure() {
    let storms: [&[Fault]; 7] = [
        &[Refused],
        &[NeverArrived],
        &[AnswerLost],
        &[],
        &[NeverArrived, NeverArrived],
        &[NeverArrived, AnswerLost],
        &[Refused, Refused],
    ];
    let (db, faults) = faulty();
    let mut draft = draft(&db, BY_HAND).await;
    let mut given = String::new();
    let mut last = draft.committed();
    for (round, storm) in storms.into_iter().cycle().take(21).enumerate() {
        let piece = format!("{round} ");
        draft.append(piece.as_str()).await.unwrap();
        given.push_str(&piece);
        faults.next(OpKind::UpdateContent, storm);
        while !faults.are_over() {
            let flushed = draft.flush().await;
            assert_truthful(&db, &draft, &given).await;
            assert!(flushed.is_err() || draft.committed().bytes == given.len() as u64, "round {round}");
            assert!(draft.committed().bytes >= last.bytes && draft.committed().revision >= last.revision);
            last = draft.committed();
        }
        draft.flush().await.expect("the storm is over");
        assert_truthful(&db, &draft, &given).await;
        last = draft.committed();
        assert_eq!(last.bytes, given.len() as u64, "round {round}");
    }
    faults.next(OpKind::UpdateContent, &[AnswerLost]);
    draft.finish().await.unwrap();
    assert_eq!(stored(&db, &draft).await, (given.clone(), MessageState::Final));
    assert_eq!(draft.committed().bytes, given.len() as u64);
}

/// Followed from outside, by what is sent and not by what can be asked afterwards.
#[tokio::test(start_paused = true)]
async fn a_follower_of_the_watermark_is_never_ahead_of_the_store() {
    let (db, faults) = faulty();
    let mut draft = draft(&db, Coalesce { interval: Duration::from_millis(250), bytes: 1 << 20 }).await;
    let mut followed = draft.watch();
    let (thread, id) = (db.thread("t"), draft.id().clone());
    let replica = tokio::spawn(async move {
        let mut marks = vec![*followed.borrow_and_update()];
        while followed.changed().await.is_ok() {
            let mark = *followed.borrow_and_update();
            let stored = thread.get(id.clone()).await.unwrap().unwrap();
            assert!(stored.revision >= mark.revision, "published before it was committed");
            let text: Vec<serde_json::Value> = serde_json::from_str(stored.content.as_json()).unwrap();
            assert!(text[0]["text"].as_str().unwrap().len() as u64 >= mark.bytes);
            marks.push(mark);
        }
        marks
    });
    for round in 0..10 {
        faults.next(OpKind::UpdateContent, if round % 2 == 0 { &[Refused] } else { &[AnswerLost] });
        draft.append("0123456789").await.unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    draft.finish().await.unwrap();
    drop(draft);
    let marks = replica.await.unwrap();
    assert!(marks.is_sorted_by(|a, b| a.bytes <= b.bytes && a.revision < b.revision), "{marks:?}");
    assert_eq!(marks.last().map(|mark| mark.bytes), Some(100));
}

#[tokio::test(start_paused = true)]
async fn one_large_change_makes_no_more_room_than_there_was() {
    let (gated, gates) = Gated::new(1, OPEN);
    let db = Persistence::builder().backend(gated).build().unwrap();
    let mut draft = draft(&db, Coalesce { bytes: 1, ..BY_HAND }).await;
    gates.before.add_permits(1);
    draft.append("x".repeat(6 << 20)).await.unwrap();
    draft.flush().await.unwrap();
    for _ in 0..4 {
        draft.append("x".repeat(1 << 20)).await.unwrap();
    }
    let more = tokio::time::timeout(Duration::from_secs(5), draft.append("y")).await;
    assert!(more.is_err(), "four megabytes wait, and no more");
    gates.before.add_permits(OPEN);
    draft.finish().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_refusal_does_not_settle_what_an_earlier_attempt_came_to() {
    let (db, faults) = faulty();
    let mut draft = draft(&db, BY_HAND).await;
    draft.append("AAA").await.unwrap();
    faults.next(OpKind::UpdateContent, &[AnswerLost, Refused]);
    draft.flush().await.unwrap_err();
    assert!(faults.are_over());
    draft.append("BBB").await.unwrap();
    draft.finish().await.unwrap();
    assert_eq!(stored(&db, &draft).await, ("AAABBB".to_owned(), MessageState::Final));
    assert_eq!(draft.committed().bytes, 6);
}

/// Another process sweeps the message: it knows nothing of the draft.
async fn recovered_elsewhere(db: &Persistence, draft: &Draft) {
    let mode = UpdateMode::Abandon { reason: Some("its writer is gone".to_owned()) };
    let (thread, id) = (draft.thread().clone(), draft.id().clone());
    let sweep = UpdateContent::new(thread, id, ContentChange::none(), mode).only_if_expired();
    db.run(sweep).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_sweep_is_not_taken_for_its_own_end() {
    let now = std::sync::Arc::new(std::sync::atomic::AtomicI64::new(0));
    let clock = std::sync::Arc::clone(&now);
    let faults = Faults::default();
    let db = Persistence::builder()
        .clock(move || throughline::Timestamp::from_micros(clock.load(std::sync::atomic::Ordering::SeqCst)))
        .layer(faults.layer())
        .backend(MemoryBackend::new())
        .build()
        .unwrap();
    let mut draft = draft(&db, BY_HAND).await;
    draft.append("lost").await.unwrap();
    faults.next(OpKind::UpdateContent, &[NeverArrived, NeverArrived]);
    assert_eq!(draft.abandon("stopped").await.unwrap_err().effect(), Effect::Unknown);
    now.store(3_600_000_000, std::sync::atomic::Ordering::SeqCst);
    recovered_elsewhere(&db, &draft).await;
    let ended = draft.abandon("stopped").await;
    assert_eq!(stored(&db, &draft).await, (String::new(), MessageState::Abandoned));
    assert_eq!(draft.committed().bytes, 0, "nothing of it is stored");
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::Stale);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_for_good_does_not_say_that_an_earlier_attempt_came_to_nothing() {
    for (first, applied) in [(AnswerLost, "AAA"), (NeverArrived, "")] {
        let (db, faults) = faulty();
        let mut draft = draft(&db, BY_HAND).await;
        draft.append("AAA").await.unwrap();
        faults.next(OpKind::UpdateContent, &[first, Fault::Denied]);
        assert_eq!(draft.flush().await.unwrap_err().effect(), Effect::Unknown);
        let kept = draft.append("BBB").await.unwrap_err();
        assert_eq!((kept.kind(), kept.effect()), (ErrorKind::Denied, Effect::Unknown));
        assert_eq!(stored(&db, &draft).await.0, applied);
        assert_eq!(draft.committed().bytes, 0);
    }
}
