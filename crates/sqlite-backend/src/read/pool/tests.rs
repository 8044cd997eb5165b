use std::{
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use throughline_core::{Effect, ErrorKind, PersistError};

use super::{super::reader::STEPS_BETWEEN_LOOKS, *};

/// Statements that never end by themselves.
const ENDLESS: &str =
    "WITH RECURSIVE n (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM n) SELECT max(n) FROM n";

struct Readers {
    pool: Pool,
    _directory: TempDir,
}

async fn readers(size: u32) -> Readers {
    let directory = tempfile::tempdir().unwrap();
    let path = Arc::<Path>::from(directory.path().join("store.db"));
    Connection::open(&path).unwrap().execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (n)").unwrap();
    Readers { pool: Pool::open(path, false, size, Arc::default()).await.unwrap(), _directory: directory }
}

fn by(timeout_at: Instant) -> Times {
    Times { timeout_at, deadline: None }
}

fn far() -> Times {
    by(Instant::now() + Duration::from_secs(3600))
}

fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

fn nothing() -> Result<ReadResult> {
    Ok(ReadResult::Get(None))
}

impl Readers {
    async fn read(
        &self,
        work: impl FnOnce(&Connection) -> Result<ReadResult> + Send + 'static,
    ) -> Result<ReadResult> {
        self.pool.run(tenant("a"), far(), work).await
    }

    /// Keeps a reader busy until the sender is dropped. Returns when the reader has begun.
    fn occupy(&self) -> (mpsc::Sender<()>, impl Future<Output = Result<ReadResult>>) {
        self.occupy_for("a")
    }

    fn occupy_for(&self, name: &str) -> (mpsc::Sender<()>, impl Future<Output = Result<ReadResult>>) {
        let (release, released) = mpsc::channel::<()>();
        let (begin, begun) = mpsc::channel();
        let mut read = Box::pin(self.pool.run(tenant(name), far(), move |_| {
            begin.send(()).unwrap();
            assert!(released.recv().is_err());
            nothing()
        }));
        assert!(read.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        begun.recv().unwrap();
        (release, read)
    }

    fn running(&self) -> usize {
        self.pool.started()
    }
}

#[tokio::test]
async fn a_tenant_with_many_reads_does_not_delay_others() {
    let readers = readers(1).await;
    let (release, first) = readers.occupy();
    let (release_other, second) = readers.occupy_for("b");
    assert_eq!(readers.running(), 2);
    let order = Arc::new(Mutex::new(Vec::new()));
    let reads = ["busy", "busy", "busy", "other"].map(|name| {
        let order = Arc::clone(&order);
        readers.pool.run(tenant(name), far(), move |_| {
            order.lock().unwrap().push(name);
            nothing()
        })
    });
    let [a, b, c, d] = reads;
    let releasing = async {
        // The others are in the queue by now.
        drop(release);
        first.await
    };
    let (a, b, c, d, first) = tokio::join!(biased; a, b, c, d, releasing);
    for read in [a, b, c, d, first] {
        read.unwrap();
    }
    assert_eq!(*order.lock().unwrap(), ["busy", "other", "busy", "busy"]);
    drop(release_other);
    second.await.unwrap();
}

#[tokio::test]
async fn a_tenant_without_a_reader_does_not_wait_for_the_reads_of_another() {
    let readers = readers(2).await;
    let held = [readers.occupy(), readers.occupy()];
    // More reads of the same tenant wait for its readers.
    let mut more: Vec<_> = (0..3).map(|_| Box::pin(readers.read(|_| nothing()))).collect();
    for read in &mut more {
        assert!(read.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    assert_eq!(readers.running(), 2);
    for _ in 0..3 {
        readers.pool.run(tenant("b"), far(), |_| nothing()).await.unwrap();
    }
    assert_eq!(readers.running(), 3);
    // The additional reader is idle, but not available to the tenant that has the others.
    for read in &mut more {
        assert!(read.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    assert_eq!(readers.pool.waiting.state().calls.len(), 3);
    for (release, read) in held {
        drop(release);
        read.await.unwrap();
    }
    for read in more {
        read.await.unwrap();
    }
    assert!(readers.pool.waiting.state().busy.is_empty());
}

#[tokio::test]
async fn a_free_reader_serves_the_tenant_with_the_fewest_readers() {
    let waiting = Waiting::new(2);
    let wakeup = Arc::<Condvar>::default();
    let push = |name| {
        let (call, caller) = Call::new(tenant(name), None, Box::new(|_| nothing()));
        waiting.push(call).unwrap();
        caller
    };
    let _callers = ["a", "a", "a", "b", "c"].map(push);
    let mut held: Vec<TenantId> = Vec::new();
    while let Some(call) = waiting.state().next(2) {
        held.push(call.tenant().clone());
    }
    // One reader for each, then a second one; and no tenant has a third.
    assert_eq!(held.iter().map(TenantId::as_str).collect::<Vec<_>>(), ["a", "b", "c", "a"]);
    assert!(waiting.next_or_idle(&wakeup, Some(&tenant("b"))).is_none());
    let next = waiting.next_or_idle(&wakeup, Some(&tenant("a"))).unwrap();
    assert_eq!(next.tenant(), &tenant("a"));
}

#[tokio::test]
async fn a_read_is_interrupted_at_its_deadline() {
    let readers = readers(1).await;
    let times = Times { deadline: Some(Instant::now()), ..far() };
    let read = readers.pool.run(tenant("a"), times, |db| {
        let error = db.query_row(ENDLESS, [], |_| Ok(())).unwrap_err();
        Err(EngineError::from(error).into())
    });
    let error = read.await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::NotApplied));
    assert_eq!(error.detail(), "the read was interrupted at its deadline");
    readers.read(|_| nothing()).await.unwrap();
}

#[test]
fn a_read_that_woke_an_idle_reader_is_not_taken_by_another() {
    let waiting = Waiting::new(2);
    let [first, second] = [(); 2].map(|()| Arc::<Condvar>::default());
    let push = |name| {
        let (call, _) = Call::new(tenant(name), None, Box::new(|_| nothing()));
        waiting.push(call).unwrap() == Pushed::Taken
    };
    let taken = |call: Option<Call>| call.map(|call| call.tenant().to_string());
    assert!(waiting.next_or_idle(&first, None).is_none());
    assert_eq!([push("a"), push("b")], [true, false]);
    assert_eq!(taken(waiting.next_or_idle(&second, None)).as_deref(), Some("b"));
    waiting.close();
    assert_eq!(taken(waiting.wait(&first, false)).as_deref(), Some("a"), "also when the readers are closed");
    assert!(waiting.wait(&first, true).is_none() && waiting.next_or_idle(&second, None).is_none());
}

#[tokio::test]
async fn a_caller_who_has_an_answer_finds_its_reader_free() {
    let readers = readers(4).await;
    for _ in 0..1000 {
        readers.read(|_| nothing()).await.unwrap();
    }
    assert_eq!(readers.running(), 1);
}

#[tokio::test]
async fn a_caller_is_counted_until_it_has_its_answer_or_leaves() {
    let readers = readers(2).await;
    let waiting = &readers.pool.waiting;
    let callers = || waiting.callers.load(Relaxed);
    let (release, first) = readers.occupy();
    assert_eq!((callers(), waiting.has_one_caller()), (1, true));
    let (release_second, second) = readers.occupy();
    assert_eq!((callers(), waiting.has_one_caller()), (2, false));
    drop(second);
    assert_eq!((callers(), waiting.has_one_caller()), (1, true));
    drop((release, release_second));
    first.await.unwrap();
    assert_eq!(callers(), 0);
}

#[test]
fn a_reader_spins_after_a_lone_caller_only_while_reads_arrive_in_time() {
    let waiting = Waiting::new(1);
    let wakeup = Arc::<Condvar>::default();
    let push = || waiting.push(Call::new(tenant("a"), None, Box::new(|_| nothing())).0).unwrap();
    let wait = |idle_since: Instant| {
        let call = waiting.wait_since(&wakeup, true, idle_since).unwrap();
        assert!(waiting.next_or_idle(&wakeup, Some(call.tenant())).is_none());
        waiting.state().came_within_spin
    };
    let now = Instant::now();
    assert!(waiting.next_or_idle(&wakeup, None).is_none());
    push();
    // An instant far ahead: no time has passed since, however slow the machine is.
    assert!(wait(now + Duration::from_secs(3600)), "the read arrived before the reader waited for it");
    push();
    assert!(
        !wait(now.checked_sub(2 * READER_SPIN).unwrap()),
        "the reader has waited for longer than its spin"
    );
}

#[tokio::test]
async fn readers_are_started_on_demand() {
    let readers = readers(2).await;
    let (release, first) = readers.occupy();
    let (release_other, second) = readers.occupy();
    assert_eq!(readers.running(), 2);
    drop((release, release_other));
    first.await.unwrap();
    second.await.unwrap();
    readers.read(|_| nothing()).await.unwrap();
    assert_eq!(readers.running(), 2);
}

#[tokio::test]
async fn a_read_whose_caller_left_does_not_begin() {
    let readers = readers(1).await;
    let (release, first) = readers.occupy();
    let begun = Arc::<AtomicBool>::default();
    for _ in 0..1000 {
        let begun = Arc::clone(&begun);
        let mut read = Box::pin(readers.read(move |_| {
            begun.store(true, Ordering::Relaxed);
            nothing()
        }));
        assert!(matches!(read.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending));
    }
    // The read also leaves the queue before a reader comes to it.
    assert!(readers.pool.waiting.state().calls.len() < CLEANUP_MIN);
    drop(release);
    first.await.unwrap();
    readers.read(|_| nothing()).await.unwrap();
    assert!(!begun.load(Ordering::Relaxed));
}

#[tokio::test]
async fn a_running_read_ends_when_its_caller_leaves() {
    let readers = readers(1).await;
    let (begin, begun) = mpsc::channel();
    let (end, ended) = mpsc::channel();
    let mut read = Box::pin(readers.read(move |db| {
        begin.send(()).unwrap();
        let error = db.query_row(ENDLESS, [], |_| Ok(())).unwrap_err();
        end.send(PersistError::from(EngineError::from(error)).kind()).unwrap();
        nothing()
    }));
    assert!(read.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    begun.recv().unwrap();
    drop(read);
    assert_eq!(ended.recv().unwrap(), ErrorKind::Cancelled);
    // The next caller uses the same connection, and is not interrupted with the previous one.
    let count = |db: &Connection| db.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0));
    readers.read(move |db| count(db).map_or_else(|error| panic!("{error}"), |_| nothing())).await.unwrap();
}

#[tokio::test]
async fn reads_whose_callers_left_leave_no_open_transaction() {
    let readers = readers(1).await;
    // SQLite calls the progress handler once per number of steps of a statement, over all its runs: some of these
    // rollbacks reach it.
    for _ in 0..2 * STEPS_BETWEEN_LOOKS {
        let (release, read) = readers.occupy();
        drop(read);
        drop(release);
    }
    let moment = |db: &Connection| {
        assert!(!db.is_autocommit());
        db.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0))
    };
    readers.read(move |db| moment(db).map_or_else(|error| panic!("{error}"), |_| nothing())).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_caller_waits_for_a_reader_until_the_deadline_and_no_longer() {
    let readers = readers(1).await;
    let (release, first) = readers.occupy();
    let begun = Instant::now();
    let late = readers.pool.run(tenant("a"), by(begun + Duration::from_secs(60)), |_| nothing());
    let error = late.await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Overloaded, Effect::NotApplied));
    assert_eq!(error.detail(), "no reader became free in time");
    drop(release);
    first.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_read_that_has_begun_does_not_time_out() {
    let readers = readers(2).await;
    let (release, first) = readers.occupy();
    let (begin, begun) = mpsc::channel();
    let (finish, finished) = mpsc::channel::<()>();
    let timeout_at = Instant::now() + Duration::from_secs(60);
    // The caller waits for it while a second reader starts.
    let mut read = Box::pin(readers.pool.run(tenant("a"), by(timeout_at), move |_| {
        begin.send(()).unwrap();
        assert!(finished.recv().is_err());
        nothing()
    }));
    assert!(read.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    begun.recv().unwrap();
    let finishing = async {
        tokio::time::sleep(Duration::from_secs(120)).await;
        drop(finish);
    };
    let (answer, ()) = tokio::join!(read, finishing);
    answer.unwrap();
    drop(release);
    first.await.unwrap();
}

#[tokio::test]
async fn a_panic_fails_only_its_own_read() {
    let readers = readers(1).await;
    let error = readers.read(|_| panic!("a read")).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Panicked, Effect::NotApplied));
    readers.read(|_| nothing()).await.unwrap();
    assert_eq!(readers.running(), 1);
}

#[tokio::test]
async fn an_idle_reader_does_not_hold_the_reader_barrier() {
    let readers = readers(1).await;
    let can_be_closed = || readers.pool.reader_barrier.close(Duration::ZERO).is_some();
    let (release, read) = readers.occupy();
    assert!(!can_be_closed());
    drop(release);
    read.await.unwrap();
    assert!(can_be_closed());
    readers.read(|_| panic!("a read")).await.unwrap_err();
    assert!(can_be_closed());
}

#[tokio::test]
async fn a_panic_of_a_callers_waker_costs_no_reader() {
    struct Panics;
    impl std::task::Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("a waker");
        }
    }

    let readers = readers(1).await;
    let (release, released) = mpsc::channel::<()>();
    let mut read = Box::pin(readers.read(move |_| {
        assert!(released.recv().is_err());
        nothing()
    }));
    let waker = Waker::from(Arc::new(Panics));
    assert!(read.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    drop(release);
    readers.read(|_| nothing()).await.unwrap();
    drop(read);
    readers.read(|_| nothing()).await.unwrap();
    assert_eq!(readers.running(), 1);
}

#[tokio::test]
async fn a_reader_cannot_write() {
    let readers = readers(1).await;
    let read = readers.read(|db| {
        // Each of the two settings would suffice.
        assert!(db.is_readonly("main").unwrap());
        let query_only = db.pragma_query_value(None, "query_only", |row| row.get::<_, i64>(0));
        assert_eq!(query_only.unwrap(), 1);
        let error = db.execute("INSERT INTO t VALUES (1)", []).unwrap_err();
        Err(EngineError::from(error).into())
    });
    assert_eq!(read.await.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn closing_waits_for_every_read() {
    let readers = readers(1).await;
    let (release, first) = readers.occupy();
    let second = readers.read(|_| nothing());
    let closing = async {
        let mut closing = Box::pin(readers.pool.close());
        assert!(closing.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(release);
        closing.await;
        assert_eq!(readers.running(), 0);
    };
    let (second, first, ()) = tokio::join!(biased; second, first, closing);
    first.unwrap();
    second.unwrap();
    let error = readers.read(|_| nothing()).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::NotApplied));
    // A second close has nothing to wait for.
    readers.pool.close().await;
}

#[tokio::test]
async fn readers_end_with_their_store() {
    let Readers { pool, _directory } = readers(2).await;
    let permits = Arc::clone(&pool.permits);
    drop(pool);
    drop(permits.acquire_many(3).await.unwrap());
}
