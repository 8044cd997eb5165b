//! The outcomes and the answers of writes when something fails.

mod closing;
mod coalescing;
mod commit_notifications;
#[cfg(unix)]
mod file_identity;
mod health;
#[cfg(target_os = "linux")]
mod lock_yield;
mod reopening;
mod shared_commit;

use std::{
    future::Future,
    sync::{Arc, atomic::Ordering, mpsc},
    time::{Duration, Instant},
};

use rusqlite::ffi;
use throughline_core::{
    Effect, ErrorKind, Idempotency, MessageId, NewMessage, PersistArgs, PersistError, Persistence, Position,
    Result, Timestamp,
    changes::{ChangeScope, ReadChanges},
    messages::{Add, Batch},
    operations::Fingerprint,
};

use super::fault::{CommitFault, Faults};
use crate::{
    SqliteBackend, SqliteOptions,
    failpoint::Failpoint,
    queue::{Committed, Pending, Queue, Times, Write},
};

/// A store whose writer can be made to fail.
struct Store {
    db: Persistence,
    faults: Arc<Faults>,
    queue: Arc<Queue>,
}

async fn store(options: SqliteOptions) -> Store {
    Store::over(options.temporary().await.unwrap())
}

/// Returns options with which a transaction stays open for as long as a test holds it.
fn with_long_transactions() -> SqliteOptions {
    SqliteOptions::new().batch_time(Duration::from_secs(3600))
}

fn id(text: &str) -> MessageId {
    text.parse().unwrap()
}

fn message(text: &str) -> NewMessage {
    NewMessage::user(text).with_id(id(text))
}

impl Store {
    fn over(backend: SqliteBackend) -> Self {
        let faults = Arc::clone(&backend.writer().faults);
        let queue = Arc::clone(&backend.writer().submission.queue);
        Self { db: Persistence::builder().backend(backend).build().unwrap(), faults, queue }
    }

    async fn add(&self, text: &str) -> Result<Option<Position>> {
        let reply = self.db.thread("t").add(message(text)).reply().await?;
        Ok(reply.receipt.position)
    }

    async fn ids(&self) -> Vec<String> {
        let page = self.db.thread("t").page(throughline_core::messages::PageFrom::Start, 1000).await.unwrap();
        page.messages.iter().map(|message| message.id.as_str().to_owned()).collect()
    }

    /// Holds the writer inside its transaction, before the first write that it applies, and reports when it is there.
    fn hold(&self) -> Hold {
        let (reached, arrived) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let mut released = Some((reached, released));
        self.faults.set_before_apply(move |_| {
            if let Some((reached, released)) = released.take() {
                reached.send(()).unwrap();
                released.recv().unwrap();
            }
        });
        Hold { arrived, release }
    }

    /// Puts an addition into the queue without the pipeline.
    fn push(&self, text: &str, times: Times) -> Answer {
        self.push_write(Add::new("t".parse().unwrap(), message(text)).into(), None, times)
    }

    fn push_write(&self, args: PersistArgs, key: Option<&str>, times: Times) -> Answer {
        let fingerprint = Fingerprint::from_bytes([7; 32]);
        let idempotency = key.map(|key| Idempotency { key: key.parse().unwrap(), fingerprint });
        let tenant = self.db.tenant().clone();
        let admission = throughline_core::backend::QueueCapacity::new(1, 1);
        let slot = at_once(admission.enter(&tenant, 1, times.timeout_at)).unwrap();
        let write = Write {
            tenant,
            args,
            idempotency,
            audit: None,
            now: Timestamp::from_micros(0),
            blobs: Vec::new(),
        };
        let (pending, answer) = Pending::new(write, times, 1, slot);
        self.queue.push(pending);
        answer
    }
}

type Answer = tokio::sync::oneshot::Receiver<Result<Committed>>;

/// Returns the output of a future that is ready at once.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut cx) {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => panic!("it waits"),
    }
}

struct Hold {
    arrived: mpsc::Receiver<()>,
    release: mpsc::Sender<()>,
}

fn far() -> Times {
    Times { deadline: None, timeout_at: Instant::now() + Duration::from_secs(60) }
}

fn kind_and_effect(error: &PersistError) -> (ErrorKind, Effect) {
    (error.kind(), error.effect())
}

/// Sends writes while the writer is held, so that they share its transaction; returns their answers.
async fn together(store: &Store, texts: &[&'static str]) -> Vec<Result<Option<Position>>> {
    let hold = store.hold();
    let send = |text: &'static str| {
        let db = store.db.clone();
        tokio::spawn(async move {
            db.thread("t").add(message(text)).reply().await.map(|reply| reply.receipt.position)
        })
    };
    let mut answers = vec![send(texts[0])];
    tokio::task::block_in_place(|| hold.arrived.recv().unwrap());
    for (waiting, text) in texts[1..].iter().enumerate() {
        answers.push(send(text));
        while store.queue.len() <= waiting {
            tokio::task::yield_now().await;
        }
    }
    hold.release.send(()).unwrap();
    let mut kind_and_effect = Vec::new();
    for answer in answers {
        kind_and_effect.push(answer.await.unwrap());
    }
    kind_and_effect
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_was_lost_applied_nothing() {
    let store = store(with_long_transactions()).await;
    store.add("first").await.unwrap();
    store.faults.fail_next_commit(CommitFault::Lost);
    for answer in together(&store, &["a", "b", "first"]).await {
        // Also the refused write: the transaction in which it was checked was rolled back.
        assert_eq!(kind_and_effect(&answer.unwrap_err()), (ErrorKind::Unavailable, Effect::NotApplied));
    }
    assert_eq!(store.ids().await, ["first"]);
    assert_eq!(store.add("a").await.unwrap(), Some(Position::new(2)));
    assert_eq!(store.ids().await, ["first", "a"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_failed_but_took_effect_is_applied() {
    for first in [true, false] {
        let store = store(with_long_transactions()).await;
        if !first {
            store.add("first").await.unwrap();
        }
        let before = u64::from(!first);
        store.faults.fail_next_commit(CommitFault::Kept);
        let answers: Vec<_> = together(&store, &["a", "b"]).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(answers, [Some(Position::new(before + 1)), Some(Position::new(before + 2))]);
        assert_eq!(store.add("c").await.unwrap(), Some(Position::new(before + 3)));
        assert_eq!(store.ids().await[before as usize..], ["a", "b", "c"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_commit_that_was_lost_applied_nothing() {
    let store = store(with_long_transactions()).await;
    store.faults.fail_next_commit(CommitFault::Lost);
    assert_eq!(
        kind_and_effect(&store.add("a").await.unwrap_err()),
        (ErrorKind::Unavailable, Effect::NotApplied)
    );
    assert_eq!(store.add("a").await.unwrap(), Some(Position::new(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fence_transaction_that_fails_is_retried() {
    let store = store(with_long_transactions()).await;
    store.faults.fail_next_fence_transaction(3);
    store.faults.fail_next_commit(CommitFault::Kept);
    assert_eq!(store.add("a").await.unwrap(), Some(Position::new(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_outcome_cannot_be_determined_is_unknown() {
    for (fault, kept) in [(CommitFault::Kept, true), (CommitFault::Lost, false)] {
        let store = store(with_long_transactions().wait_limit(Duration::from_millis(200))).await;
        store.add("first").await.unwrap();
        store.faults.fail_next_fence_transaction(u64::MAX);
        store.faults.fail_next_commit(fault);
        assert_eq!(
            kind_and_effect(&store.add("a").await.unwrap_err()),
            (ErrorKind::Unavailable, Effect::Unknown)
        );
        store.faults.fail_next_fence_transaction(0);
        // The id of a write shows its outcome without its key: it exists or it does not.
        assert_eq!(store.ids().await.contains(&"a".to_owned()), kept);
        assert_eq!(store.add("b").await.unwrap(), Some(Position::new(2 + u64::from(kept))));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_does_not_decide_a_commit_that_failed_for_another_reason() {
    let backend = with_long_transactions().wait_limit(Duration::from_millis(200)).temporary().await.unwrap();
    backend.writer().failpoints.set(|point, _| match point {
        Failpoint::Committing => Err(ffi::SQLITE_IOERR_FSYNC),
        // The commit may still take effect, and no fence transaction can make its outcome final.
        Failpoint::Fencing => Err(ffi::SQLITE_FULL),
        _ => Ok(()),
    });
    let error = Store::over(backend).add("a").await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Unavailable, Effect::Unknown));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_answers_its_writes_and_the_writer_continues() {
    let store = store(with_long_transactions()).await;
    store.faults.fail_next_commit(CommitFault::Panic);
    for answer in together(&store, &["a", "b"]).await {
        assert_eq!(kind_and_effect(&answer.unwrap_err()), (ErrorKind::Unavailable, Effect::Unknown));
    }
    store.faults.set_before_apply(|_| panic!("a fault of the test"));
    assert_eq!(
        kind_and_effect(&store.add("a").await.unwrap_err()),
        (ErrorKind::Unavailable, Effect::NotApplied)
    );
    store.faults.set_before_apply(|_| {});
    assert_eq!(store.add("a").await.unwrap(), Some(Position::new(1)));
    assert_eq!(store.ids().await, ["a"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_fails_the_transaction_and_leaves_nothing_of_it() {
    let store = store(with_long_transactions()).await;
    store.add("first").await.unwrap();
    let hold = store.hold();
    let send = |text: &'static str, bytes: usize| {
        let db = store.db.clone();
        let content = NewMessage::user(&"x".repeat(bytes)).with_id(id(text));
        tokio::spawn(async move { db.thread("t").add(content).await.map(drop) })
    };
    let small = send("small", 1);
    tokio::task::block_in_place(|| hold.arrived.recv().unwrap());
    let large = send("large", 100_000);
    while store.queue.is_empty() {
        tokio::task::yield_now().await;
    }
    // From the second write on the file may not grow.
    store.faults.set_before_apply_once(|connection| {
        connection.execute_batch("PRAGMA max_page_count = 1").unwrap();
    });
    hold.release.send(()).unwrap();
    for answer in [small, large] {
        assert_eq!(
            kind_and_effect(&answer.await.unwrap().unwrap_err()),
            (ErrorKind::StorageFull, Effect::NotApplied)
        );
    }
    assert_eq!(store.ids().await, ["first"]);
    assert_eq!(store.add("next").await.unwrap(), Some(Position::new(2)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_breaks_its_transaction_is_removed_from_it() {
    let store = store(with_long_transactions()).await;
    store.faults.set_before_apply_once(|connection| {
        connection
            .execute_batch(
                "CREATE TRIGGER refuse BEFORE INSERT ON messages WHEN NEW.message_id = 'bad' \
                 BEGIN SELECT RAISE(ABORT, 'refused by the test'); END",
            )
            .unwrap();
    });
    store.add("first").await.unwrap();
    let commits = store.faults.count_commits();
    let kind_and_effect: Vec<_> = together(&store, &["a", "bad", "b"])
        .await
        .into_iter()
        .map(|answer| answer.map_err(|error| kind_and_effect(&error)))
        .collect();
    let at = |position| Ok(Some(Position::new(position)));
    assert_eq!(kind_and_effect, [at(2), Err((ErrorKind::Internal, Effect::NotApplied)), at(3)]);
    assert_eq!(commits.load(Ordering::SeqCst), 2);
    assert_eq!(store.ids().await, ["first", "a", "b"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreported_rollback_makes_the_outcome_unknown() {
    let store = store(with_long_transactions()).await;
    store.add("first").await.unwrap();
    store.faults.set_before_apply_once(|connection| connection.execute_batch("ROLLBACK").unwrap());
    assert_eq!(
        kind_and_effect(&store.add("a").await.unwrap_err()),
        (ErrorKind::Unavailable, Effect::Unknown)
    );
    // Without locks in addition to SQLite's, statements outside of the transaction were committed by themselves. Their
    // changes are in the feed, and their position is not used again.
    let is_locked = cfg!(target_os = "linux");
    let last = Position::new(if is_locked { 2 } else { 3 });
    assert_eq!(store.add("b").await.unwrap(), Some(last));
    let read = ReadChanges::new(ChangeScope::Tenant, Position::ZERO, 10);
    let changes = store.db.read(read).await.unwrap();
    let ids: Vec<_> =
        changes.changes.iter().map(|change| change.kind.message().unwrap().id.as_str()).collect();
    let expected = if is_locked { vec!["first", "b"] } else { vec!["first", "a", "b"] };
    assert_eq!((ids, changes.position), (expected, last));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_to_a_full_queue_is_overloaded() {
    let store =
        store(with_long_transactions().queue_operations(1).wait_limit(Duration::from_millis(200))).await;
    let hold = store.hold();
    let first = tokio::spawn({
        let db = store.db.clone();
        async move { db.thread("t").add(message("first")).await.map(drop) }
    });
    tokio::task::block_in_place(|| hold.arrived.recv().unwrap());
    assert_eq!(
        kind_and_effect(&store.add("second").await.unwrap_err()),
        (ErrorKind::Overloaded, Effect::NotApplied)
    );
    // A read does not wait for a permit.
    assert_eq!(store.ids().await, [""; 0]);
    hold.release.send(()).unwrap();
    first.await.unwrap().unwrap();
    assert_eq!(store.ids().await, ["first"]);
    store.add("second").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_was_cancelled_or_timed_out_in_the_queue_changes_nothing() {
    let store = store(with_long_transactions()).await;
    let hold = store.hold();
    let first = store.push("first", far());
    tokio::task::block_in_place(|| hold.arrived.recv().unwrap());
    drop(store.push("left", far()));
    let late = store.push("late", Times { deadline: Some(Instant::now()), ..far() });
    let last = store.push("last", far());
    hold.release.send(()).unwrap();
    assert_eq!(first.await.unwrap().unwrap().position, Some(Position::new(1)));
    assert_eq!(kind_and_effect(&late.await.unwrap().unwrap_err()), (ErrorKind::Timeout, Effect::NotApplied));
    assert_eq!(last.await.unwrap().unwrap().position, Some(Position::new(2)));
    assert_eq!(store.ids().await, ["first", "last"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_write_leaves_the_queue_before_its_timeout() {
    let store = store(with_long_transactions()).await;
    let hold = store.hold();
    let _first = store.push("first", far());
    tokio::task::block_in_place(|| hold.arrived.recv().unwrap());
    let _waits = store.push("waits", far());
    drop(store.push("left", far()));
    assert_eq!(store.queue.take_timed_out(Instant::now()).len(), 1);
    assert_eq!(store.queue.len(), 1);
    hold.release.send(()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_is_cancelled_while_it_is_applied_is_committed() {
    let store = store(with_long_transactions()).await;
    let hold = store.hold();
    let first = store.push("first", far());
    tokio::task::block_in_place(|| hold.arrived.recv().unwrap());
    drop(first);
    hold.release.send(()).unwrap();
    assert_eq!(store.add("second").await.unwrap(), Some(Position::new(2)));
    assert_eq!(store.ids().await, ["first", "second"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_has_bounds() {
    let store = store(with_long_transactions().batch_operations(2)).await;
    let commits = store.faults.count_commits();
    assert!(together(&store, &["a", "b", "c", "d", "e"]).await.iter().all(Result::is_ok));
    assert_eq!(commits.load(Ordering::SeqCst), 3);
    let store = self::store(with_long_transactions().batch_bytes(1)).await;
    let commits = store.faults.count_commits();
    assert!(together(&store, &["a", "b", "c"]).await.iter().all(Result::is_ok));
    assert_eq!(commits.load(Ordering::SeqCst), 3);
    let store = self::store(SqliteOptions::new().batch_time(Duration::ZERO)).await;
    let commits = store.faults.count_commits();
    assert!(together(&store, &["a", "b", "c"]).await.iter().all(Result::is_ok));
    assert_eq!(commits.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_store_opened_with_a_lower_limit_keeps_fewer_changes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    let kept = || {
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection.query_row("SELECT count(*) FROM changes", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    let store = Store::over(SqliteBackend::open(&path).await.unwrap());
    for n in 0..100 {
        store.add(&format!("m{n}")).await.unwrap();
    }
    store.db.close().await.unwrap();
    assert_eq!(kept(), 100);
    let store = Store::over(SqliteOptions::new().changes_kept(10).open(&path).await.unwrap());
    // Each write removes some of them, and none removes all at once.
    let mut after = Vec::new();
    for n in 100..104 {
        store.add(&format!("m{n}")).await.unwrap();
        after.push(kept());
    }
    assert_eq!(after, [35, 10, 10, 10]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_applies_what_was_admitted() {
    let backend = SqliteBackend::temporary().await.unwrap();
    let store = Store::over(backend);
    let hold = store.hold();
    let answers: Vec<_> = ["a", "b", "c"].map(|text| store.push(text, far())).into();
    tokio::task::block_in_place(|| hold.arrived.recv().unwrap());
    let closing = tokio::spawn({
        let db = store.db.clone();
        async move { db.close().await }
    });
    hold.release.send(()).unwrap();
    for answer in answers {
        answer.await.unwrap().unwrap();
    }
    closing.await.unwrap().unwrap();
    assert_eq!(store.add("d").await.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_applies_what_was_admitted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    let backend = SqliteBackend::open(&path).await.unwrap();
    let maintenance = backend.maintenance();
    let store = Store::over(backend);
    let hold = store.hold();
    let answers: Vec<_> = ["a", "b", "c"].map(|text| store.push(text, far())).into();
    tokio::task::block_in_place(|| hold.arrived.recv().unwrap());
    let open = maintenance.health();
    drop(store);
    hold.release.send(()).unwrap();
    for answer in answers {
        answer.await.unwrap().unwrap();
    }
    assert_eq!(maintenance.health_other_than(&open).await.condition, crate::Condition::Closed);
    let db = Persistence::builder().backend(SqliteBackend::open(&path).await.unwrap()).build().unwrap();
    let page = db.thread("t").page(throughline_core::messages::PageFrom::Start, 10).await.unwrap();
    assert_eq!(page.messages.len(), 3);
}

#[test]
fn an_answer_arrives_although_the_runtime_of_its_caller_was_dropped() {
    let outer = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(1).build().unwrap();
    let inner = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(1).build().unwrap();
    let store = outer.block_on(store(with_long_transactions()));
    let hold = store.hold();
    let answers: Vec<_> = {
        let _inside = inner.enter();
        (0..20).map(|n| store.push(&format!("m{n}"), far())).collect()
    };
    hold.arrived.recv().unwrap();
    inner.shutdown_background();
    hold.release.send(()).unwrap();
    for answer in answers {
        outer.block_on(answer).unwrap().unwrap();
    }
    outer.block_on(async { assert_eq!(store.ids().await.len(), 20) });
    outer.block_on(async { store.db.close().await.unwrap() });
}

#[test]
fn an_idle_runtime_does_not_delay_an_answer() {
    let outer = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(1).build().unwrap();
    let idle = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store = outer.block_on(store(with_long_transactions()));
    let hold = store.hold();
    let answers: Vec<_> = {
        let _inside = idle.enter();
        (0..20).map(|n| store.push(&format!("m{n}"), far())).collect()
    };
    hold.arrived.recv().unwrap();
    hold.release.send(()).unwrap();
    outer.block_on(async {
        for answer in answers {
            // Without a timeout the test would hang instead of failing.
            let answer = tokio::time::timeout(Duration::from_secs(30), answer).await;
            answer.expect("the answer came").unwrap().unwrap();
        }
        store.db.close().await.unwrap();
    });
}

#[tokio::test]
async fn a_temporary_store_is_removed_with_its_backend() {
    for closes in [true, false] {
        let backend = SqliteBackend::temporary().await.unwrap();
        let directory = backend.writer().path().parent().unwrap().to_owned();
        let db = Persistence::builder().backend(backend).build().unwrap();
        db.thread("t").add(message("a")).await.unwrap();
        assert!(directory.join("store.db").is_file());
        if closes {
            db.close().await.unwrap();
        } else {
            drop(db);
        }
        assert!(!directory.exists());
    }
}
