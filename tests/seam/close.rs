//! The end of a pipeline: it comes once, whoever asks for it and whoever stops waiting for it.

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
    Admitted, Backend, Capabilities, Effect, ErrorKind, NewMessage, PersistError, Persistence, Reply, Result,
    memory::MemoryBackend,
    messages::{Add, PageFrom},
    pipeline::Admission,
    sqlite::SqliteBackend,
};
use tokio::{runtime::Runtime, sync::Semaphore, task::yield_now, time::timeout};

use crate::{
    gated::{Gated, OPEN},
    said,
};

/// A store that is closed when the test lets it, and may fail at it.
struct Closing {
    store: MemoryBackend,
    closed: Arc<AtomicU32>,
    gate: Arc<Semaphore>,
    answer: fn() -> Result<()>,
}

fn closing(gate: usize, answer: fn() -> Result<()>) -> (Persistence, Arc<AtomicU32>, Arc<Semaphore>) {
    let (closed, gate) = (Arc::new(AtomicU32::new(0)), Arc::new(Semaphore::new(gate)));
    let store = MemoryBackend::new();
    let store = Closing { store, closed: Arc::clone(&closed), gate: Arc::clone(&gate), answer };
    (Persistence::builder().backend(store).build().unwrap(), closed, gate)
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
        self.gate.acquire().await.expect("never closed").forget();
        (self.answer)()
    }

    async fn add(&self, call: Admitted<'_, Add>) -> Result<Reply<Add>> {
        self.store.add(call).await
    }
}

/// Polls it once and lets go of it.
async fn poll_and_drop(future: impl Future) {
    let mut future = pin!(future);
    let waits = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await;
    assert!(waits, "it has to wait");
}

async fn others_go_on() {
    for _ in 0..100 {
        yield_now().await;
    }
}

#[tokio::test]
async fn many_that_close_at_once_close_once_and_learn_the_same() {
    let fails = || Err(PersistError::new(ErrorKind::Unavailable, "the disk is gone"));
    for (answer, kind) in [((|| Ok(())) as fn() -> Result<()>, None), (fails, Some(ErrorKind::Unavailable))] {
        let (db, closed, gate) = closing(0, answer);
        let asked: Vec<_> = (0..8)
            .map(|_| {
                let db = db.clone();
                tokio::spawn(async move { db.close().await })
            })
            .collect();
        others_go_on().await;
        assert!(asked.iter().all(|asked| !asked.is_finished()), "the store is not closed yet");
        gate.add_permits(OPEN);
        for asked in asked {
            let error = asked.await.unwrap().err();
            assert_eq!(error.as_ref().map(PersistError::kind), kind);
            assert!(error.is_none_or(|error| said(&error).2 == "closing"), "it says whose it is");
        }
        assert_eq!(db.close().await.map_err(|error| error.kind()).err(), kind, "asked later, it is the same");
        assert_eq!(closed.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn closing_goes_on_when_nobody_waits_for_it_any_more() {
    let (db, closed, gate) = closing(0, || Ok(()));
    poll_and_drop(db.close()).await;
    let error = db.thread("t").add(NewMessage::user("late")).await.unwrap_err();
    assert_eq!(said(&error), (ErrorKind::Unavailable, Effect::NotApplied, "edge"));
    others_go_on().await;
    assert_eq!(closed.load(Ordering::SeqCst), 1, "the store is being closed, with nobody waiting");
    poll_and_drop(db.close()).await;
    gate.add_permits(OPEN);
    db.close().await.unwrap();
    assert_eq!(closed.load(Ordering::SeqCst), 1);
}

/// Left and asked for again while a write is with the store: it waits for that write all the same.
#[tokio::test]
async fn a_close_that_was_left_waits_for_the_write_all_the_same() {
    let (gated, gates) = Gated::new(0, OPEN);
    let db = Persistence::builder().backend(gated).build().unwrap();
    let id: throughline::MessageId = "m".parse().unwrap();
    let add = db.thread("t").add(NewMessage::user("hello").with_id(id));
    let add = tokio::spawn(add.into_future());
    gates.arrival().await;
    poll_and_drop(db.close()).await;
    let again = tokio::spawn({
        let db = db.clone();
        async move { db.close().await }
    });
    others_go_on().await;
    assert!(!again.is_finished(), "a write is with the store");
    gates.before.add_permits(OPEN);
    add.await.unwrap().expect("it was let in before the end");
    again.await.unwrap().unwrap();
}

/// Calls that wait to be let in are not let in any more, and are not forgotten either.
#[tokio::test]
async fn a_call_that_waits_to_be_let_in_is_refused_by_the_end() {
    let (gated, gates) = Gated::new(0, OPEN);
    let one = Admission { writes: 1, reads: 1, waiting: 8 };
    let db = Persistence::builder().admission(one).backend(gated).build().unwrap();
    let add = || tokio::spawn(db.thread("t").add(NewMessage::user("hello")).into_future());
    let first = add();
    gates.arrival().await;
    let waiting: Vec<_> = (0..3).map(|_| add()).collect();
    others_go_on().await;
    let ending = tokio::spawn({
        let db = db.clone();
        async move { db.close().await }
    });
    others_go_on().await;
    gates.before.add_permits(OPEN);
    first.await.unwrap().expect("it was let in before the end");
    for waits in waiting {
        let error = waits.await.unwrap().expect_err("it was not");
        assert_eq!(said(&error), (ErrorKind::Unavailable, Effect::NotApplied, "edge"));
    }
    ending.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_store_that_panics_while_it_is_closed_is_told() {
    let (db, _, _) = closing(OPEN, || panic!("planned"));
    for _ in 0..2 {
        let ended = timeout(Duration::from_secs(60), db.close()).await;
        let error = ended.expect("it hangs").unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Panicked, Effect::Unknown), "{error}");
    }
}

async fn closed_in_time(db: &Persistence) -> Result<()> {
    timeout(Duration::from_secs(10), db.close()).await.expect("it hangs")
}

#[test]
fn a_pipeline_is_closed_as_well_when_its_runtime_has_ended() {
    let first = Runtime::new().unwrap();
    let (db, closed, _) = first.block_on(async { closing(OPEN, || Ok(())) });
    drop(first);
    // Where there is no runtime at all, nothing can be closed, and nothing is lost by having asked.
    let asked = pin!(db.close()).poll(&mut Context::from_waker(Waker::noop()));
    let Poll::Ready(Err(error)) = asked else { panic!("it hangs, or closes nowhere") };
    assert_eq!(said(&error), (ErrorKind::Cancelled, Effect::NotApplied, "edge"));
    assert_eq!(closed.load(Ordering::SeqCst), 0);
    Runtime::new().unwrap().block_on(async {
        closed_in_time(&db).await.unwrap();
        closed_in_time(&db).await.unwrap();
    });
    assert_eq!(closed.load(Ordering::SeqCst), 1);
}

#[test]
fn what_was_acknowledged_is_in_the_file_that_is_closed_after_its_runtime() {
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
        assert_eq!(said(&error), (ErrorKind::Unavailable, Effect::NotApplied, "edge"));
        // Nobody has it open any more: its log is folded away.
        assert!(!folder.path().join("t.db-wal").exists());
        let again =
            Persistence::builder().backend(SqliteBackend::open(&file).await.unwrap()).build().unwrap();
        assert_eq!(again.thread("t").page(PageFrom::Start, 10).await.unwrap().messages.len(), 2);
        closed_in_time(&again).await.unwrap();
    });
}

#[test]
fn a_runtime_that_ends_while_it_closes_is_told() {
    let first = Runtime::new().unwrap();
    let (db, closed, _) = first.block_on(async {
        let (db, closed, gate) = closing(0, || Ok(()));
        drop(timeout(Duration::from_millis(50), db.close()).await);
        (db, closed, gate)
    });
    assert_eq!(closed.load(Ordering::SeqCst), 1, "it is under way");
    drop(first);
    Runtime::new().unwrap().block_on(async {
        for _ in 0..2 {
            let error = closed_in_time(&db).await.unwrap_err();
            assert_eq!(said(&error), (ErrorKind::Cancelled, Effect::Unknown, "edge"));
        }
    });
    assert_eq!(closed.load(Ordering::SeqCst), 1, "a store is closed once");
}
