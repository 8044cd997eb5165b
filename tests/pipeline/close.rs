//! Closing a pipeline: it happens once, regardless of how many callers request it or drop the request.

use std::{
    future::{Future, IntoFuture as _, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use throughline::{
    Admitted, Backend, Capabilities, Effect, ErrorKind, NewMessage, PersistError, Persistence, Position,
    Reply, Result,
    changes::ChangeScope,
    memory::MemoryBackend,
    messages::{Add, PageFrom},
    pipeline::Admission,
    sqlite::SqliteBackend,
};
use tokio::{runtime::Runtime, sync::Semaphore, task::yield_now, time::timeout};

use crate::{
    blocked::{BlockedStore, OPEN},
    kind_effect_site,
};

/// A store whose close waits for the test, and may fail.
struct Closing {
    store: MemoryBackend,
    closed: Arc<AtomicU32>,
    barrier: Arc<Semaphore>,
    answer: fn() -> Result<()>,
}

fn closing(barrier: usize, answer: fn() -> Result<()>) -> (Persistence, Arc<AtomicU32>, Arc<Semaphore>) {
    let (closed, barrier) = (Arc::new(AtomicU32::new(0)), Arc::new(Semaphore::new(barrier)));
    let store = MemoryBackend::new();
    let store = Closing { store, closed: Arc::clone(&closed), barrier: Arc::clone(&barrier), answer };
    (Persistence::builder().backend(store).build().unwrap(), closed, barrier)
}

impl Backend for Closing {
    fn name(&self) -> &str {
        "closing"
    }

    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    async fn close(&self) -> Result<()> {
        self.closed.fetch_add(1, Ordering::SeqCst);
        self.barrier.acquire().await.expect("never closed").forget();
        (self.answer)()
    }

    async fn add(&self, call: Admitted<'_, Add>) -> Result<Reply<Add>> {
        self.store.add(call).await
    }
}

/// Polls a future once and drops it.
async fn poll_and_drop(future: impl Future) {
    let mut future = pin!(future);
    let waits = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await;
    assert!(waits, "it must wait");
}

async fn run_other_tasks() {
    for _ in 0..100 {
        yield_now().await;
    }
}

#[tokio::test]
async fn concurrent_closes_close_the_store_once_and_return_the_same_result() {
    let fails = || Err(PersistError::new(ErrorKind::Unavailable, "the disk is gone"));
    for (answer, kind) in [((|| Ok(())) as fn() -> Result<()>, None), (fails, Some(ErrorKind::Unavailable))] {
        let (db, closed, barrier) = closing(0, answer);
        let closes: Vec<_> = (0..8)
            .map(|_| {
                let db = db.clone();
                tokio::spawn(async move { db.close().await })
            })
            .collect();
        run_other_tasks().await;
        assert!(closes.iter().all(|closes| !closes.is_finished()), "the store is not closed yet");
        barrier.add_permits(OPEN);
        for closes in closes {
            let error = closes.await.unwrap().err();
            assert_eq!(error.as_ref().map(PersistError::kind), kind);
            assert!(
                error.is_none_or(|error| kind_effect_site(&error).2 == "closing"),
                "the error names the store"
            );
        }
        assert_eq!(
            db.close().await.map_err(|error| error.kind()).err(),
            kind,
            "a later close returns the same result"
        );
        assert_eq!(closed.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn closing_continues_after_every_caller_dropped_it() {
    let (db, closed, barrier) = closing(0, || Ok(()));
    poll_and_drop(db.close()).await;
    let error = db.thread("t").add(NewMessage::user("late")).await.unwrap_err();
    assert_eq!(kind_effect_site(&error), (ErrorKind::Unavailable, Effect::NotApplied, "edge"));
    run_other_tasks().await;
    assert_eq!(closed.load(Ordering::SeqCst), 1, "closing continues without a caller");
    poll_and_drop(db.close()).await;
    barrier.add_permits(OPEN);
    db.close().await.unwrap();
    assert_eq!(closed.load(Ordering::SeqCst), 1);
}

/// A close is dropped and repeated during a write: it still waits for that write.
#[tokio::test]
async fn a_repeated_close_after_a_dropped_one_waits_for_running_writes() {
    let (blocked, barriers) = BlockedStore::new(0, OPEN);
    let db = Persistence::builder().backend(blocked).build().unwrap();
    let id: throughline::MessageId = "m".parse().unwrap();
    let add = db.thread("t").add(NewMessage::user("hello").with_id(id));
    let add = tokio::spawn(add.into_future());
    barriers.arrival().await;
    poll_and_drop(db.close()).await;
    let again = tokio::spawn({
        let db = db.clone();
        async move { db.close().await }
    });
    run_other_tasks().await;
    assert!(!again.is_finished(), "the store is still writing");
    barriers.before.add_permits(OPEN);
    add.await.unwrap().expect("it was admitted before the close");
    again.await.unwrap().unwrap();
}

/// Calls that wait for admission are refused, and none of them hangs.
#[tokio::test]
async fn calls_in_the_admission_queue_are_refused_by_close() {
    let (blocked, barriers) = BlockedStore::new(0, OPEN);
    let one = Admission { writes: 1, reads: 1, waiting: 8 };
    let db = Persistence::builder().admission(one).backend(blocked).build().unwrap();
    let add = || tokio::spawn(db.thread("t").add(NewMessage::user("hello")).into_future());
    let first = add();
    barriers.arrival().await;
    let waiting: Vec<_> = (0..3).map(|_| add()).collect();
    run_other_tasks().await;
    let ending = tokio::spawn({
        let db = db.clone();
        async move { db.close().await }
    });
    run_other_tasks().await;
    barriers.before.add_permits(OPEN);
    first.await.unwrap().expect("it was admitted before the close");
    for waits in waiting {
        let error = waits.await.unwrap().expect_err("it was not admitted");
        assert_eq!(kind_effect_site(&error), (ErrorKind::Unavailable, Effect::NotApplied, "edge"));
    }
    ending.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn close_returns_panicked_when_the_store_panics() {
    let (db, _, _) = closing(OPEN, || panic!("planned"));
    for _ in 0..2 {
        let ended = timeout(Duration::from_secs(60), db.close()).await;
        let error = ended.expect("close hangs").unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Panicked, Effect::Unknown), "{error}");
    }
}

async fn closed_in_time(db: &Persistence) -> Result<()> {
    timeout(Duration::from_secs(10), db.close()).await.expect("close hangs")
}

#[test]
fn a_pipeline_can_be_closed_on_another_runtime_after_its_own_ended() {
    let first = Runtime::new().unwrap();
    let (db, closed, _) = first.block_on(async { closing(OPEN, || Ok(())) });
    drop(first);
    // Without a runtime, close cannot run; a failed attempt has no effect.
    let closes = pin!(db.close()).poll(&mut Context::from_waker(Waker::noop()));
    let Poll::Ready(Err(error)) = closes else { panic!("close must fail without a runtime") };
    assert_eq!(kind_effect_site(&error), (ErrorKind::Cancelled, Effect::NotApplied, "edge"));
    assert_eq!(closed.load(Ordering::SeqCst), 0);
    Runtime::new().unwrap().block_on(async {
        closed_in_time(&db).await.unwrap();
        closed_in_time(&db).await.unwrap();
    });
    assert_eq!(closed.load(Ordering::SeqCst), 1);
}

#[test]
fn acknowledged_writes_are_in_a_file_that_is_closed_after_its_runtime_ended() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.db");
    let first = Runtime::new().unwrap();
    let db = first.block_on(async {
        let db = Persistence::builder().backend(SqliteBackend::open(&file).await.unwrap()).build().unwrap();
        db.thread("t").add(NewMessage::user("before")).await.unwrap();
        db
    });
    drop(first);
    Runtime::new().unwrap().block_on(async {
        db.thread("t").add(NewMessage::user("after")).await.unwrap();
        closed_in_time(&db).await.unwrap();
        let error = db.thread("t").add(NewMessage::user("late")).await.unwrap_err();
        assert_eq!(kind_effect_site(&error), (ErrorKind::Unavailable, Effect::NotApplied, "edge"));
        // The last connection is closed, so SQLite has checkpointed and removed the WAL.
        assert!(!folder.path().join("t.db-wal").exists());
        let again =
            Persistence::builder().backend(SqliteBackend::open(&file).await.unwrap()).build().unwrap();
        assert_eq!(again.thread("t").page(PageFrom::Start, 10).await.unwrap().messages.len(), 2);
        closed_in_time(&again).await.unwrap();
    });
}

#[test]
fn close_returns_cancelled_when_its_runtime_ends_meanwhile() {
    let first = Runtime::new().unwrap();
    let (db, closed, _) = first.block_on(async {
        let (db, closed, barrier) = closing(0, || Ok(()));
        drop(timeout(Duration::from_millis(50), db.close()).await);
        (db, closed, barrier)
    });
    assert_eq!(closed.load(Ordering::SeqCst), 1, "the close has begun");
    drop(first);
    Runtime::new().unwrap().block_on(async {
        for _ in 0..2 {
            let error = closed_in_time(&db).await.unwrap_err();
            assert_eq!(kind_effect_site(&error), (ErrorKind::Cancelled, Effect::Unknown, "edge"));
        }
    });
    assert_eq!(closed.load(Ordering::SeqCst), 1, "a store is closed once");
}

#[tokio::test(start_paused = true)]
async fn a_feed_that_waits_ends_when_the_pipeline_closes() {
    let db = Persistence::builder().backend(MemoryBackend::new()).build().unwrap();
    let mut feed = db.changes(ChangeScope::Tenant, Position::ZERO);
    let waits = tokio::spawn(async move { feed.next().await });
    // The clock advances only when every task waits.
    tokio::time::sleep(Duration::from_millis(1)).await;
    let closed_at = tokio::time::Instant::now();
    db.close().await.unwrap();
    let error = waits.await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::NotApplied));
    assert_eq!(closed_at.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_repeats_every_read_does_not_keep_the_pipeline_from_closing() {
    let db = Persistence::builder().backend(MemoryBackend::new()).build().unwrap();
    let mut feed = db.changes(ChangeScope::Tenant, Position::ZERO);
    let reader = tokio::spawn(async move {
        loop {
            drop(feed.next_now().await);
            feed.wait_for_commit().await;
        }
    });
    tokio::time::sleep(Duration::from_millis(1)).await;
    timeout(Duration::from_secs(1), db.close()).await.unwrap().unwrap();
    reader.abort();
}
