//! Laws 9, 10 and 14: a draft over a failing store. Pending text is bounded and coalesced, and the watermark never
//! exceeds the committed text.

use std::time::Duration;

use throughline::{
    Draft, Effect, ErrorKind, MessageState, OpKind, Persistence, Role,
    memory::MemoryBackend,
    messages::{Coalesce, ContentChange, UpdateContent, UpdateMode},
};

use crate::blocked::{BlockedStore, OPEN};
use crate::faults::{
    Fault::{self, AnswerLost, NeverArrived, Refused},
    Faults,
};

/// Disables the timer: only a flush, an end or the size limit causes a write.
const ONLY_ON_FLUSH: Coalesce = Coalesce { interval: Duration::from_secs(3600), bytes: 1 << 20 };

fn faulty() -> (Persistence, Faults) {
    let faults = Faults::default();
    let stack = Persistence::builder().layer(faults.layer());
    (stack.backend(MemoryBackend::new()).build().unwrap(), faults)
}

async fn draft(db: &Persistence, coalesce: Coalesce) -> Draft {
    db.thread("t").reserve(Role::Assistant).coalesce(coalesce).await.unwrap()
}

/// Returns the stored text and the state of the message.
async fn stored(db: &Persistence, draft: &Draft) -> (String, MessageState) {
    let message = db.thread("t").get(draft.id().clone()).await.unwrap().unwrap();
    let blocks: Vec<serde_json::Value> = serde_json::from_str(message.content.as_json()).unwrap();
    let text = blocks.iter().map(|block| block["text"].as_str().unwrap()).collect();
    (text, message.state)
}

/// Checks that the store has a prefix of the appended text, and at least the bytes of the watermark.
async fn assert_truthful(db: &Persistence, draft: &Draft, appended: &str) {
    let (text, _) = stored(db, draft).await;
    let published = usize::try_from(draft.committed().bytes).unwrap();
    assert!(appended.starts_with(&text), "stored {text:?}, appended {appended:?}");
    assert!(published <= text.len(), "the watermark is {published}, but {} bytes are stored", text.len());
}

#[tokio::test(start_paused = true)]
async fn appends_during_an_outage_are_coalesced_into_few_writes() {
    let (db, faults) = faulty();
    let coalesce = Coalesce::default();
    let mut draft = draft(&db, coalesce).await;
    faults.down(true);
    let part = "0123456789abcdef".repeat(4);
    let whole = part.repeat(16 * 1024);
    for _ in 0..16 * 1024 {
        draft.append(part.clone()).await.unwrap();
    }
    // No time has passed: a full buffer must not retry a write that was just refused.
    let asked = faults.writes();
    assert!((1..=2).contains(&asked), "{asked} writes at once");
    assert_eq!(draft.flush().await.unwrap_err().kind(), ErrorKind::Busy);
    faults.writes();
    // The number of retries depends on the interval, not on the pending bytes.
    tokio::time::sleep(Duration::from_secs(60)).await;
    let asked = faults.writes();
    let often = 60_000 / usize::try_from(coalesce.interval.as_millis()).unwrap();
    assert!((1..=often + 1).contains(&asked), "{asked} writes in a minute of outage");
    assert_eq!((draft.committed().bytes, stored(&db, &draft).await.0.as_str()), (0, ""));
    faults.down(false);
    draft.flush().await.unwrap();
    let needed = whole.len() / coalesce.bytes;
    let written = faults.writes();
    assert!(written <= needed + 1, "{written} writes, {needed} are enough");
    assert_eq!(draft.committed().bytes, whole.len() as u64);
    assert!(stored(&db, &draft).await.0 == whole, "all of it, once and in order");
}

#[tokio::test(start_paused = true)]
async fn the_watermark_never_exceeds_the_committed_text_under_any_fault() {
    let fault_plans: [&[Fault]; 7] = [
        &[Refused],
        &[NeverArrived],
        &[AnswerLost],
        &[],
        &[NeverArrived, NeverArrived],
        &[NeverArrived, AnswerLost],
        &[Refused, Refused],
    ];
    let (db, faults) = faulty();
    let mut draft = draft(&db, ONLY_ON_FLUSH).await;
    let mut appended = String::new();
    let mut last = draft.committed();
    for (round, plan) in fault_plans.into_iter().cycle().take(21).enumerate() {
        let part = format!("{round} ");
        draft.append(part.as_str()).await.unwrap();
        appended.push_str(&part);
        faults.next(OpKind::UpdateContent, plan);
        while !faults.are_used_up() {
            let flushed = draft.flush().await;
            assert_truthful(&db, &draft, &appended).await;
            assert!(flushed.is_err() || draft.committed().bytes == appended.len() as u64, "round {round}");
            assert!(draft.committed().bytes >= last.bytes && draft.committed().revision >= last.revision);
            last = draft.committed();
        }
        draft.flush().await.expect("no more faults");
        assert_truthful(&db, &draft, &appended).await;
        last = draft.committed();
        assert_eq!(last.bytes, appended.len() as u64, "round {round}");
    }
    faults.next(OpKind::UpdateContent, &[AnswerLost]);
    draft.finish().await.unwrap();
    assert_eq!(stored(&db, &draft).await, (appended.clone(), MessageState::Final));
    assert_eq!(draft.committed().bytes, appended.len() as u64);
}

/// Watches the published values, not the current value.
#[tokio::test(start_paused = true)]
async fn the_watched_watermark_is_never_ahead_of_the_store() {
    let (db, faults) = faulty();
    let mut draft = draft(&db, Coalesce { interval: Duration::from_millis(250), bytes: 1 << 20 }).await;
    let mut watermark = draft.watch();
    let (thread, id) = (db.thread("t"), draft.id().clone());
    let watcher = tokio::spawn(async move {
        let mut watermarks = vec![*watermark.borrow_and_update()];
        while watermark.changed().await.is_ok() {
            let mark = *watermark.borrow_and_update();
            let stored = thread.get(id.clone()).await.unwrap().unwrap();
            assert!(stored.revision >= mark.revision, "published before it was committed");
            let text: Vec<serde_json::Value> = serde_json::from_str(stored.content.as_json()).unwrap();
            assert!(text[0]["text"].as_str().unwrap().len() as u64 >= mark.bytes);
            watermarks.push(mark);
        }
        watermarks
    });
    for round in 0..10 {
        faults.next(OpKind::UpdateContent, if round % 2 == 0 { &[Refused] } else { &[AnswerLost] });
        draft.append("0123456789").await.unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    draft.finish().await.unwrap();
    drop(draft);
    let watermarks = watcher.await.unwrap();
    assert!(watermarks.is_sorted_by(|a, b| a.bytes <= b.bytes && a.revision < b.revision), "{watermarks:?}");
    assert_eq!(watermarks.last().map(|mark| mark.bytes), Some(100));
}

#[tokio::test(start_paused = true)]
async fn a_large_append_does_not_raise_the_limit_of_pending_bytes() {
    let (blocked, barriers) = BlockedStore::new(1, OPEN);
    let db = Persistence::builder().backend(blocked).build().unwrap();
    let mut draft = draft(&db, Coalesce { bytes: 1, ..ONLY_ON_FLUSH }).await;
    barriers.before.add_permits(1);
    draft.append("x".repeat(6 << 20)).await.unwrap();
    draft.flush().await.unwrap();
    for _ in 0..4 {
        draft.append("x".repeat(1 << 20)).await.unwrap();
    }
    let more = tokio::time::timeout(Duration::from_secs(5), draft.append("y")).await;
    assert!(more.is_err(), "at most four megabytes are pending");
    barriers.before.add_permits(OPEN);
    draft.finish().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_refused_retry_does_not_decide_the_outcome_of_an_earlier_attempt() {
    let (db, faults) = faulty();
    let mut draft = draft(&db, ONLY_ON_FLUSH).await;
    draft.append("AAA").await.unwrap();
    faults.next(OpKind::UpdateContent, &[AnswerLost, Refused]);
    draft.flush().await.unwrap_err();
    assert!(faults.are_used_up());
    draft.append("BBB").await.unwrap();
    draft.finish().await.unwrap();
    assert_eq!(stored(&db, &draft).await, ("AAABBB".to_owned(), MessageState::Final));
    assert_eq!(draft.committed().bytes, 6);
}

/// Recovers the message as another process, which does not know the draft.
async fn recovered_elsewhere(db: &Persistence, draft: &Draft) {
    let mode = UpdateMode::Abandon { reason: Some("its writer is gone".to_owned()) };
    let (thread, id) = (draft.thread().clone(), draft.id().clone());
    let recovery = UpdateContent::new(thread, id, ContentChange::none(), mode).only_if_expired();
    db.run(recovery).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn abandon_is_stale_after_another_process_recovered_the_message() {
    let now = std::sync::Arc::new(std::sync::atomic::AtomicI64::new(0));
    let clock = std::sync::Arc::clone(&now);
    let faults = Faults::default();
    let db = Persistence::builder()
        .clock(move || throughline::Timestamp::from_micros(clock.load(std::sync::atomic::Ordering::SeqCst)))
        .layer(faults.layer())
        .backend(MemoryBackend::new())
        .build()
        .unwrap();
    let mut draft = draft(&db, ONLY_ON_FLUSH).await;
    draft.append("lost").await.unwrap();
    faults.next(OpKind::UpdateContent, &[NeverArrived, NeverArrived]);
    assert_eq!(draft.abandon("stopped").await.unwrap_err().effect(), Effect::Unknown);
    now.store(3_600_000_000, std::sync::atomic::Ordering::SeqCst);
    recovered_elsewhere(&db, &draft).await;
    let ended = draft.abandon("stopped").await;
    assert_eq!(stored(&db, &draft).await, (String::new(), MessageState::Abandoned));
    assert_eq!(draft.committed().bytes, 0, "no text is stored");
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::Stale);
}

#[tokio::test(start_paused = true)]
async fn the_effect_stays_unknown_when_the_retry_of_an_unknown_outcome_is_denied() {
    for (first, applied) in [(AnswerLost, "AAA"), (NeverArrived, "")] {
        let (db, faults) = faulty();
        let mut draft = draft(&db, ONLY_ON_FLUSH).await;
        draft.append("AAA").await.unwrap();
        faults.next(OpKind::UpdateContent, &[first, Fault::Denied]);
        assert_eq!(draft.flush().await.unwrap_err().effect(), Effect::Unknown);
        let kept = draft.append("BBB").await.unwrap_err();
        assert_eq!((kept.kind(), kept.effect()), (ErrorKind::Denied, Effect::Unknown));
        assert_eq!(stored(&db, &draft).await.0, applied);
        assert_eq!(draft.committed().bytes, 0);
    }
}
