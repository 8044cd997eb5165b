//! A wall clock that cannot be trusted. It is the pipeline's own, set from here; deadlines never ask it.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use rusqlite::Connection;
use throughline_core::{
    Delta, Effect, MessageId, NewMessage, NewReservation, Persistence, Role, Seq, Thread, Timestamp,
    messages::{ContentChange, PageFrom, UpdateMode, Visibility},
};
use throughline_reliability::{Report, scaled};
use throughline_sqlite::{SqliteBackend, SqliteOptions};

/// How long before its time is over the writer may give a write up: 10 ms before a deadline, and the pause before another
/// attempt that would come too late.
const LAST_WORD: Duration = Duration::from_millis(15);

const HOUR: i64 = 3600 * 1_000_000;
const TEN_YEARS: i64 = 10 * 365 * 24 * HOUR;

/// A clock that changes only when the test moves it.
#[derive(Clone)]
struct Hand(Arc<AtomicI64>);

impl Hand {
    fn now() -> Self {
        Self(Arc::new(AtomicI64::new(Timestamp::now().as_micros())))
    }

    fn jump(&self, micros: i64) {
        self.0.fetch_add(micros, Ordering::SeqCst);
    }

    async fn open(&self, path: &Path) -> Persistence {
        let hand = Arc::clone(&self.0);
        Persistence::builder()
            .clock(move || Timestamp::from_micros(hand.load(Ordering::SeqCst)))
            .backend(SqliteBackend::open(path).await.unwrap())
            .build()
            .unwrap()
    }
}

async fn add(thread: &Thread, id: String) -> u64 {
    let id = MessageId::new(id).unwrap();
    thread.add(NewMessage::user("hello").with_id(id)).await.unwrap().message.seq.get()
}

async fn ids(thread: &Thread) -> Vec<String> {
    let mut walk = thread.walk(PageFrom::Start, Visibility::All);
    let mut ids = Vec::new();
    while let Some(message) = walk.next().await.unwrap() {
        ids.push(message.id.to_string());
    }
    ids
}

/// Renews the lease of an open message with an append. Returns the time of the last change.
async fn renew(thread: &Thread, id: &str) -> Timestamp {
    let id = MessageId::new(id).unwrap();
    let change = ContentChange::Append(Delta::text("more"));
    thread.update_content(id.clone(), change, UpdateMode::Partial).await.unwrap();
    thread.get(id).await.unwrap().unwrap().updated_at
}

#[tokio::test]
async fn rel_33_clock_jumps_change_no_order_no_key_and_no_active_lease() {
    let mut report = Report::new("REL-33");
    let store = tempfile::tempdir().unwrap();
    let path = store.path().join("chat.db");
    let hand = Hand::now();
    let mut db = hand.open(&path).await;
    let count = scaled(200);
    let mut expected = vec!["draft".to_owned()];
    let draft = NewReservation::new(Role::Assistant).with_id("draft".parse().unwrap());
    drop(db.thread("t").reserve(draft).await.unwrap());
    let keyed = NewMessage::user("once");
    let first = db.thread("keyed").add(keyed.clone()).key("k").await.unwrap();
    let mut changed = Timestamp::default();
    for (jump, fault) in [
        (0, "frozen"),
        (-HOUR, "an hour back"),
        (TEN_YEARS, "ten years on"),
        (-TEN_YEARS - HOUR, "ten years back"),
    ] {
        hand.jump(jump);
        let thread = db.thread("t");
        let cursor = PageFrom::After(Seq::new(expected.len() as u64));
        for n in 0..count {
            // Under ids that go the other way than the messages do.
            let id = format!("m{}", 1_000_000 - expected.len());
            let seq = add(&thread, id.clone()).await;
            expected.push(id);
            assert_eq!(seq, expected.len() as u64, "{fault}, message {n}");
        }
        assert_eq!(ids(&thread).await, expected, "{fault}");
        // A cursor from before the jump continues at its position.
        let page = thread.page(cursor, 1000).await.unwrap();
        let after: Vec<_> = page.messages.iter().map(|message| message.id.to_string()).collect();
        assert_eq!(after, expected[expected.len() - usize::try_from(count).unwrap()..], "{fault}");

        let again = db.thread("keyed").add(keyed.clone()).key("k").await.unwrap();
        assert_eq!((again.message, again.deduplicated), (first.message.clone(), true), "{fault}");

        // A writer that renews its lease after the jump keeps its message, and the time of a change never decreases.
        let now = renew(&thread, "draft").await;
        assert!(now >= changed, "{fault}");
        changed = now;
        let recovered = db.recover_expired_drafts("its writer is gone").await.unwrap();
        assert_eq!((recovered.abandoned.len(), recovered.failed.len()), (0, 0), "{fault}");

        db.close().await.unwrap();
        db = hand.open(&path).await;
        report.fired(fault, 1);
    }
    // A message without a renewal is abandoned. A lease is never shortened, so a lease that was renewed in a wrong future lasts
    // until that time, whatever the clock shows meanwhile.
    hand.jump(HOUR);
    assert_eq!(db.recover_expired_drafts("its writer is gone").await.unwrap().abandoned.len(), 0);
    hand.jump(TEN_YEARS + HOUR);
    let recovered = db.recover_expired_drafts("its writer is gone").await.unwrap();
    assert_eq!(recovered.abandoned.len(), 1);
    db.close().await.unwrap();
    report.count("messages", expected.len());
    report.finish();
}

#[tokio::test]
async fn rel_33_deadlines_do_not_depend_on_the_wall_clock() {
    let mut report = Report::new("REL-33 deadlines");
    let store = tempfile::tempdir().unwrap();
    let path = store.path().join("chat.db");
    let hand = Hand::now();
    let limit = Duration::from_millis(200);
    let clock = Arc::clone(&hand.0);
    let backend = SqliteOptions::new().wait_limit(limit).open(&path).await.unwrap();
    let db = Persistence::builder()
        .clock(move || Timestamp::from_micros(clock.load(Ordering::SeqCst)))
        .backend(backend)
        .build()
        .unwrap();
    let thread = db.thread("t");
    let holder = Connection::open(&path).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    for (jump, fault) in [(0, "frozen"), (-HOUR, "an hour back"), (TEN_YEARS, "ten years on")] {
        for deadline in [None, Some(limit / 2)] {
            let begun = Instant::now();
            let adding = thread.add(NewMessage::user("too late"));
            let adding = match deadline {
                Some(deadline) => adding.deadline(deadline),
                None => adding,
            };
            let adding = tokio::spawn(adding.into_future());
            tokio::task::yield_now().await;
            hand.jump(jump);
            let error = adding.await.unwrap().unwrap_err();
            // At a deadline, the caller can time out before the writer releases the call.
            let is_sure = error.effect() == Effect::NotApplied;
            assert!(is_sure || deadline.is_some() && error.effect() == Effect::Unknown, "{fault}: {error}");
            let (waited, planned) = (begun.elapsed(), deadline.unwrap_or(limit));
            // The writer times out slightly earlier, so that its answer is definite.
            assert!(
                waited + LAST_WORD >= planned && waited < planned + Duration::from_secs(5),
                "{fault}: {waited:?}"
            );
            report.fired(fault, 1);
        }
    }
    holder.execute_batch("COMMIT").unwrap();
    // Nothing of them was applied, and nothing will be.
    assert_eq!(add(&thread, "a".to_owned()).await, 1);
    assert_eq!(ids(&thread).await, ["a"]);
    db.close().await.unwrap();
    report.finish();
}
