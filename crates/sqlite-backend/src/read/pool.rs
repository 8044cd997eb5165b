//! The readers of a store, and who waits for them.
//!
//! Whoever finds a reader idle hands the read to it and wakes it. Whoever finds none puts the read in line, and starts a
//! reader if there may be another. A reader that has answered takes the next read from the line by itself, without anybody to
//! wake it: while there is more to read than there are readers, none of them sleeps.

use std::{
    collections::HashMap,
    mem,
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use rusqlite::Connection;
use throughline_core::{ReadResult, Result, TenantId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::{
    call::{Call, Times},
    reader::Reader,
};
use crate::{
    OpenError,
    error::EngineError,
    gate::Gate,
    lines::{InLine as _, Lines},
};

/// So many readers at most for each tenant, and one more than that for all of them, started as they are needed. Dropped, they end
/// after what they are at.
///
/// The queue is fair: a reader that becomes free serves the waiting tenant that has the fewest readers, whatever is read, and of
/// several such tenants the one that waits for its turn longest. The additional reader is there so that a tenant which has none never
/// waits for the reads of one other tenant.
#[derive(Debug)]
pub(super) struct Pool {
    path: Arc<Path>,
    waiting: Arc<Waiting>,
    gate: Arc<Gate>,
    size: u32,
    /// One for each reader and for the additional one; it is given up when the connection is closed.
    seats: Arc<Semaphore>,
}

/// The reads that no reader has taken, and the readers that have none.
#[derive(Debug)]
pub(super) struct Waiting {
    state: Mutex<State>,
    /// How many readers one tenant may have.
    for_each: usize,
}

#[derive(Debug, Default)]
struct State {
    /// The queue. While a reader is idle, there are only calls in it of tenants that have as many readers as they may.
    calls: Lines<Call>,
    /// How many readers each tenant has.
    busy: HashMap<TenantId, usize>,
    /// The bells of those who sleep, and of those who are about to: the last one is the first to be woken, and has most of
    /// the file in its cache.
    idle: Vec<Arc<Condvar>>,
    /// What each of those has in hand who were woken for it.
    handed: Vec<(Arc<Condvar>, Call)>,
    /// How many have to wait before it is looked for those whose callers have left.
    look_at: usize,
    closed: bool,
}

/// What became of a read that was brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pushed {
    /// A reader has it in hand.
    InHand,
    /// It is in the queue. `is_first`: the tenant has no reader, and no other read in the queue.
    Waits { is_first: bool },
}

/// How few reads may wait without a look for those whose callers have left.
const FEW: usize = 64;

impl Waiting {
    fn new(for_each: usize) -> Self {
        Self { state: Mutex::default(), for_each }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock, and every change is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a read to an idle reader, or puts it in the queue.
    fn push(&self, call: Call) -> Result<Pushed, EngineError> {
        let mut state = self.state();
        if state.closed {
            return Err(EngineError::ReadersClosed);
        }
        let busy = state.busy.get(call.tenant()).copied().unwrap_or_default();
        let idle = if busy < self.for_each { state.idle.pop() } else { None };
        let Some(bell) = idle else {
            let is_first = busy == 0 && state.calls.waiting_of(call.tenant()) == 0;
            state.calls.push(call);
            let left = state.take_left();
            drop(state);
            drop(left);
            return Ok(Pushed::Waits { is_first });
        };
        state.begin(call.tenant());
        state.handed.push((Arc::clone(&bell), call));
        drop(state);
        bell.notify_one();
        Ok(Pushed::InHand)
    }

    /// The next read for a reader that has come to the end of one, which was of this tenant. Without one it counts as idle from now on,
    /// and has to [`wait`](Self::wait).
    pub(super) fn is_free(&self, bell: &Arc<Condvar>, of: Option<&TenantId>) -> Option<Call> {
        let mut state = self.state();
        if let Some(tenant) = of {
            state.end(tenant);
        }
        let next = state.next(self.for_each);
        if next.is_none() && !state.closed {
            state.idle.push(Arc::clone(bell));
        }
        next
    }

    /// Waits for the next read. There is none when the readers are closed.
    pub(super) fn wait(&self, bell: &Arc<Condvar>) -> Option<Call> {
        let mut state = self.state();
        loop {
            while state.idle.iter().any(|idle| Arc::ptr_eq(idle, bell)) {
                state = bell.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            let next = state.take_handed(bell).or_else(|| state.next(self.for_each));
            if next.is_some() || state.closed {
                return next;
            }
            state.idle.push(Arc::clone(bell));
        }
    }

    /// Takes no further read, and sends every reader home who has none.
    fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        let idle = mem::take(&mut state.idle);
        drop(state);
        for bell in idle {
            bell.notify_one();
        }
    }
}

impl State {
    /// A reader has a read of this tenant in hand.
    fn begin(&mut self, tenant: &TenantId) {
        match self.busy.get_mut(tenant) {
            Some(busy) => *busy += 1,
            None => drop(self.busy.insert(tenant.clone(), 1)),
        }
    }

    fn end(&mut self, tenant: &TenantId) {
        if let Some(busy) = self.busy.get_mut(tenant) {
            *busy -= 1;
            if *busy == 0 {
                self.busy.remove(tenant);
            }
        }
    }

    /// Takes the next read from the queue: one of the tenant that has the fewest readers, and not as many as it may have.
    fn next(&mut self, for_each: usize) -> Option<Call> {
        let Self { calls, busy, .. } = self;
        let next = calls.pop_least(for_each, |tenant| busy.get(tenant).copied().unwrap_or_default())?;
        self.begin(next.tenant());
        Some(next)
    }

    fn take_handed(&mut self, bell: &Arc<Condvar>) -> Option<Call> {
        let at = self.handed.iter().position(|(to, _)| Arc::ptr_eq(to, bell))?;
        Some(self.handed.swap_remove(at).1)
    }

    /// Takes the reads out of the line whose callers have left, when they may have become as many as the others.
    fn take_left(&mut self) -> Vec<Call> {
        if self.calls.len() < self.look_at.max(FEW) {
            return Vec::new();
        }
        let left = self.calls.take_if(|call| call.stage.is_left());
        self.look_at = 2 * self.calls.len();
        left
    }
}

impl Pool {
    /// Starts the first reader, and opens its connection.
    pub(super) async fn open(path: Arc<Path>, size: u32, gate: Arc<Gate>) -> Result<Self, OpenError> {
        let seats = Arc::new(Semaphore::new(size as usize + 1));
        let pool = Self { path, waiting: Arc::new(Waiting::new(size as usize)), gate, size, seats };
        let failed = |source| OpenError::Io { path: pool.path.to_path_buf(), source };
        let (opened, on_opened) = oneshot::channel();
        pool.start(|mut reader, seat| {
            let connected = reader.connect().map(drop);
            let is_open = connected.is_ok();
            // Before: the first read finds it free.
            reader.stand_by();
            // Whoever opens may have left: the readers are closed then.
            drop(opened.send(connected));
            if is_open {
                reader.work();
            }
            drop(seat);
        })
        .map_err(failed)?;
        match on_opened.await {
            Ok(opened) => opened.map_err(|error| OpenError::sqlite(&pool.path, error))?,
            Err(_) => return Err(failed(std::io::Error::other("the thread of a reader ended"))),
        }
        Ok(pool)
    }

    /// Starts a thread, unless there are as many as may be.
    fn start(&self, run: impl FnOnce(Reader, OwnedSemaphorePermit) + Send + 'static) -> std::io::Result<()> {
        let Ok(seat) = Arc::clone(&self.seats).try_acquire_owned() else { return Ok(()) };
        let name = format!("throughline-reader-{}", self.started());
        let reader = Reader::new(Arc::clone(&self.path), Arc::clone(&self.waiting), Arc::clone(&self.gate));
        thread::Builder::new().name(name).spawn(move || run(reader, seat)).map(drop)
    }

    /// How many readers there are.
    fn started(&self) -> usize {
        self.size as usize + 1 - self.seats.available_permits()
    }

    /// Does `work` on a reader, which is waited for until `give_up`, and interrupted at the deadline.
    ///
    /// Dropped, the future takes back what no reader has begun; what one has begun ends soon.
    pub(super) async fn run(
        &self,
        tenant: TenantId,
        times: Times,
        work: impl FnOnce(&Connection) -> Result<ReadResult> + Send + 'static,
    ) -> Result<ReadResult> {
        let (call, caller) = Call::new(tenant, times.deadline, Box::new(work));
        let Pushed::Waits { is_first } = self.waiting.push(call)? else {
            return caller.answer().await;
        };
        if is_first || self.started() < self.size as usize {
            // One that does not start is done without: there is one at least, and it takes this read when it is free.
            drop(self.start(|reader, seat| {
                reader.work();
                drop(seat);
            }));
        }
        caller.answer_if_begun_by(times.give_up).await
    }

    /// Waits until everything was read that somebody waits for and every connection is closed.
    pub(super) async fn close(&self) {
        self.waiting.close();
        if self.seats.acquire_many(self.size + 1).await.is_ok() {
            self.seats.close();
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.waiting.close();
    }
}

#[cfg(test)]
mod tests {
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
        Connection::open(&path)
            .unwrap()
            .execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (n)")
            .unwrap();
        Readers { pool: Pool::open(path, size, Arc::default()).await.unwrap(), _directory: directory }
    }

    fn by(give_up: Instant) -> Times {
        Times { give_up, deadline: None }
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

        /// Keeps a reader busy until the sender is dropped. Back when the reader is at it.
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
    async fn a_tenant_with_many_reads_holds_no_other_up() {
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
        // More of the same tenant wait for its readers.
        let mut more: Vec<_> = (0..3).map(|_| Box::pin(readers.read(|_| nothing()))).collect();
        for read in &mut more {
            assert!(read.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        assert_eq!(readers.running(), 2);
        for _ in 0..3 {
            readers.pool.run(tenant("b"), far(), |_| nothing()).await.unwrap();
        }
        assert_eq!(readers.running(), 3);
        // The additional reader is idle, and is not for the tenant that has the others.
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
        let bell = Arc::<Condvar>::default();
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
        assert!(waiting.is_free(&bell, Some(&tenant("b"))).is_none());
        let next = waiting.is_free(&bell, Some(&tenant("a"))).unwrap();
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
    fn what_an_idle_reader_was_woken_for_is_no_others() {
        let waiting = Waiting::new(2);
        let [first, second] = [(); 2].map(|()| Arc::<Condvar>::default());
        let push = |name| {
            let (call, _) = Call::new(tenant(name), None, Box::new(|_| nothing()));
            waiting.push(call).unwrap() == Pushed::InHand
        };
        let taken = |call: Option<Call>| call.map(|call| call.tenant().to_string());
        assert!(waiting.is_free(&first, None).is_none());
        assert_eq!([push("a"), push("b")], [true, false]);
        assert_eq!(taken(waiting.is_free(&second, None)).as_deref(), Some("b"));
        waiting.close();
        assert_eq!(taken(waiting.wait(&first)).as_deref(), Some("a"), "also when the readers are closed");
        assert!(waiting.wait(&first).is_none() && waiting.is_free(&second, None).is_none());
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
    async fn readers_are_started_as_they_are_needed() {
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
    async fn a_read_that_its_caller_left_is_not_begun() {
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
        // Nor does it stay in line for as long as no reader comes to it.
        assert!(readers.pool.waiting.state().calls.len() < FEW);
        drop(release);
        first.await.unwrap();
        readers.read(|_| nothing()).await.unwrap();
        assert!(!begun.load(Ordering::Relaxed));
    }

    #[tokio::test]
    async fn a_read_that_its_caller_leaves_in_the_middle_is_ended() {
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
        // Who comes next has the same connection, and is not ended with it.
        let count = |db: &Connection| db.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0));
        readers
            .read(move |db| count(db).map_or_else(|error| panic!("{error}"), |_| nothing()))
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn reads_that_their_callers_left_leave_no_transaction_behind() {
        let readers = readers(1).await;
        // SQLite looks for who waits every so many steps of a statement, over all its runs: some of these ends are looked at.
        for _ in 0..2 * STEPS_BETWEEN_LOOKS {
            let (release, read) = readers.occupy();
            drop(read);
            drop(release);
        }
        let moment = |db: &Connection| {
            assert!(!db.is_autocommit());
            db.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0))
        };
        readers
            .read(move |db| moment(db).map_or_else(|error| panic!("{error}"), |_| nothing()))
            .await
            .unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_is_waited_for_until_the_deadline_and_no_longer() {
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
    async fn a_read_that_has_begun_is_not_given_up() {
        let readers = readers(2).await;
        let (release, first) = readers.occupy();
        let (begin, begun) = mpsc::channel();
        let (finish, finished) = mpsc::channel::<()>();
        let give_up = Instant::now() + Duration::from_secs(60);
        // It is waited for while a second reader is started.
        let mut read = Box::pin(readers.pool.run(tenant("a"), by(give_up), move |_| {
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
    async fn a_panic_is_one_reads_alone() {
        let readers = readers(1).await;
        let error = readers.read(|_| panic!("a read")).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Panicked, Effect::NotApplied));
        readers.read(|_| nothing()).await.unwrap();
        assert_eq!(readers.running(), 1);
    }

    #[tokio::test]
    async fn nobody_is_inside_the_gate_who_does_not_read() {
        let readers = readers(1).await;
        let can_be_closed = || readers.pool.gate.close(Duration::ZERO).is_some();
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
            // The one would do without the other.
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
        // A second time, there is nothing to wait for.
        readers.pool.close().await;
    }

    #[tokio::test]
    async fn readers_end_with_their_store() {
        let Readers { pool, _directory } = readers(2).await;
        let seats = Arc::clone(&pool.seats);
        drop(pool);
        drop(seats.acquire_many(3).await.unwrap());
    }
}
