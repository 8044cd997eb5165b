//! REL-11: a dropped call has its complete effect or none, at whatever point it is dropped.
//!
//! The limits are tight, so that a permit that a dropped call keeps would block the next one: two slots in the queue, one
//! reader, two concurrent writes and two concurrent reads.

use std::{
    collections::BTreeMap,
    future::{Future, IntoFuture, poll_fn},
    path::{Path, PathBuf},
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    task::Poll,
    thread,
    time::{Duration, Instant},
};

use rusqlite::Connection;
use tempfile::TempDir;
use throughline_core::{
    Content, Delta, ErrorKind, MessageId, NewMessage, NewReservation, Persistence, Result, Role, Thread,
    messages::{Add, Batch, ContentChange, PageFrom, Reserve, UpdateMode, Visibility},
    pipeline::Admission,
};
use throughline_reliability::{Report, scaled};
use throughline_sqlite::{Failpoint, SqliteBackend, SqliteOptions};
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinSet,
    time::timeout,
};

/// The timeout of the next call: far more than it needs, so that only a permit that is never released exceeds it.
const PROMPT: Duration = Duration::from_secs(20);

/// A call that is dropped is dropped within this time.
const WINDOW: Duration = Duration::from_millis(2);

const TIGHT: Admission = Admission { writes: 2, reads: 2, waiting: 16 };

struct Store {
    _directory: TempDir,
    path: PathBuf,
}

impl Store {
    fn fresh() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("chat.db");
        Self { _directory: directory, path }
    }

    async fn open(&self, adjust: impl FnOnce(SqliteOptions) -> SqliteOptions) -> Persistence {
        let tight = SqliteBackend::builder().queue_operations(2).readers(1).wait_limit(PROMPT);
        let backend = adjust(tight).open(&self.path).await.unwrap();
        Persistence::builder().backend(backend).admission(TIGHT).build().unwrap()
    }
}

async fn promptly<T>(name: &str, call: impl IntoFuture<Output = Result<T>>) -> T {
    match timeout(PROMPT, call.into_future()).await {
        Ok(answer) => answer.unwrap_or_else(|error| panic!("{name}: {error}")),
        Err(_) => panic!("{name}: no answer in {PROMPT:?}"),
    }
}

/// Asserts that no transaction is open: another connection gets the write lock, and truncates the WAL.
///
/// The idle store also runs checkpoints. SQLite allows one checkpoint at a time, and returns "busy" to another one at once,
/// whatever its timeout. That does not mean that a reader is active, so the checkpoint is repeated.
fn expect_no_open_transaction(path: &Path) {
    let other = Connection::open(path).unwrap();
    other.busy_timeout(PROMPT).unwrap();
    other.execute_batch("BEGIN IMMEDIATE; ROLLBACK").unwrap();
    let begun = Instant::now();
    while other.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0)).unwrap() {
        assert!(begun.elapsed() < PROMPT, "a reader still uses an old snapshot of the store");
        thread::yield_now();
    }
}

/// When a call is dropped.
#[derive(Debug, Clone, Copy)]
enum Drops {
    After(Duration),
    AtPoll(u32),
}

/// Polls a call until it answers or is dropped. Returns `None` if it was dropped.
async fn polled_until<T>(drops: Drops, call: impl Future<Output = T>) -> Option<T> {
    let mut call = pin!(call);
    let begun = Instant::now();
    let mut polls = 0;
    poll_fn(|cx| {
        if let Poll::Ready(answer) = call.as_mut().poll(cx) {
            return Poll::Ready(Some(answer));
        }
        polls += 1;
        let is_over = match drops {
            Drops::After(time) => begun.elapsed() >= time,
            Drops::AtPoll(poll) => polls >= poll,
        };
        if is_over {
            return Poll::Ready(None);
        }
        // A timer is too coarse. The call is polled again at once, and the tasks that it waits for run in between.
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

/// The calls that the test drops.
#[derive(Debug, Clone, Copy)]
enum Call {
    Add,
    KeyedAdd,
    Append,
    Batch,
    KeyedBatch,
    Get,
    Page,
}

impl Call {
    const ALL: [Self; 7] =
        [Self::Add, Self::KeyedAdd, Self::Append, Self::Batch, Self::KeyedBatch, Self::Get, Self::Page];

    /// The number of messages or chunks that the call adds.
    const fn effects(self) -> usize {
        match self {
            Self::Add | Self::KeyedAdd | Self::Append => 1,
            Self::Batch | Self::KeyedBatch => 3,
            Self::Get | Self::Page => 0,
        }
    }

    const fn has_key(self) -> bool {
        matches!(self, Self::KeyedAdd | Self::KeyedBatch)
    }

    /// Makes the call. Each message and chunk contains its number. Each attempt mints a new id.
    async fn make(self, thread: &Thread, n: usize) -> Result<()> {
        let message = || NewMessage::user(&format!("call {n}"));
        let add = || Add::new(thread.id().unwrap().clone(), message());
        let batch = || Batch::new().with(add()).with(add()).with(add());
        match self {
            Self::Add => thread.add(message()).await.map(drop),
            Self::KeyedAdd => thread.add(message()).key(format!("key {n}")).await.map(drop),
            Self::Append => {
                let change = ContentChange::Append(Delta::text(format!("[{n}]")));
                thread.update_content(streamed(), change, UpdateMode::Partial).await.map(drop)
            }
            Self::Batch => thread.persistence().batch(batch()).await.map(drop),
            Self::KeyedBatch => thread.persistence().batch(batch()).key(format!("key {n}")).await.map(drop),
            Self::Get => thread.get(streamed()).await.map(drop),
            Self::Page => thread.page(PageFrom::End, 5).await.map(drop),
        }
    }
}

fn streamed() -> MessageId {
    "streamed".parse().unwrap()
}

async fn reserve(thread: &Thread) {
    let reservation = NewReservation::new(Role::Assistant).with_id(streamed());
    let reserve = Reserve::new(thread.id().unwrap().clone(), reservation);
    promptly("the reservation", thread.persistence().run(reserve)).await;
}

/// Counts the effects of each call in the store, by the text of the messages and of the streamed message.
async fn found(thread: &Thread) -> BTreeMap<usize, usize> {
    let mut found = BTreeMap::new();
    let mut count = |n: &str| *found.entry(n.parse().unwrap()).or_default() += 1;
    let mut walk = thread.walk(PageFrom::Start, Visibility::All);
    while let Some(message) = promptly("the walk", walk.next()).await {
        let text = text_of(&message.content);
        if message.id == streamed() {
            text.split_terminator(']').for_each(|chunk| count(chunk.strip_prefix('[').unwrap()));
        } else if let Some(n) = text.strip_prefix("call ") {
            count(n);
        }
    }
    found
}

/// Returns the text of the only block. The text contains no escapes.
fn text_of(content: &Content) -> &str {
    let json = content.as_json();
    let text = json.strip_prefix(r#"[{"type":"text","text":""#).and_then(|rest| rest.strip_suffix(r#""}]"#));
    text.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rel_11_dropped_call_is_applied_once_or_not_at_all() {
    let mut report = Report::new("REL-11");
    let mut random = report.random();
    let store = Store::fresh();
    let db = store.open(|options| options).await;
    let thread = db.thread("t");
    reserve(&thread).await;
    let points = scaled(500) as usize;
    let mut dropped = BTreeMap::<&str, u64>::new();
    let mut calls = Vec::new();
    for point in 0..points {
        let call = random.choice(Call::ALL).unwrap();
        let (way, drops) = match point % 3 {
            2 => ("at a poll", Drops::AtPoll(1 + random.u32(0..24))),
            _ => ("after a time", Drops::After(WINDOW.mul_f64(point as f64 / points as f64))),
        };
        // Every second call meets a full queue and a full admission.
        let mut concurrent = JoinSet::new();
        for _ in 0..point % 2 * 4 {
            let thread = thread.clone();
            concurrent.spawn(async move { thread.add(NewMessage::user("concurrent")).await.map(drop) });
        }
        let answer = polled_until(drops, call.make(&thread, point)).await;
        *dropped.entry(way).or_default() += u64::from(answer.is_none());
        *dropped.entry("among concurrent calls").or_default() +=
            u64::from(answer.is_none() && point % 2 == 1);
        let answer = answer.map(|answer| answer.unwrap_or_else(|error| panic!("{call:?}: {error}")));
        // As many concurrent calls as there are permits: the dropped call kept none.
        for _ in 0..TIGHT.writes {
            let thread = thread.clone();
            concurrent.spawn(async move { thread.add(NewMessage::user("next")).await.map(drop) });
        }
        while let Some(next) =
            timeout(PROMPT, concurrent.join_next()).await.expect("a permit was not released")
        {
            next.unwrap().unwrap();
        }
        promptly("a read", thread.get(streamed())).await;
        if call.has_key() {
            promptly("a repeated call", call.make(&thread, point)).await;
        }
        if point % 50 == 0 {
            expect_no_open_transaction(&store.path);
        }
        calls.push((call, answer.is_some()));
    }
    promptly("closing", db.close()).await;
    let db = store.open(|options| options).await;
    let found = found(&db.thread("t")).await;
    let mut absent = 0;
    for (n, &(call, answered)) in calls.iter().enumerate() {
        let (times, once) = (found.get(&n).copied().unwrap_or_default(), call.effects());
        if answered || call.has_key() {
            assert_eq!(times, once, "{call:?} {n}, answered: {answered}");
        } else {
            assert!(times == 0 || times == once, "{call:?} {n} is there {times} times");
            absent += u64::from(times == 0 && once > 0);
        }
    }
    expect_no_open_transaction(&store.path);
    promptly("closing", db.close()).await;
    report.count("calls", points);
    report.count("absent", absent);
    for (way, times) in dropped {
        report.fired(format!("dropped {way}"), times);
    }
    report.finish();
}

/// Blocks the writer at a failpoint until `let_go` is sent.
struct Hold {
    reached: mpsc::Receiver<()>,
    let_go: mpsc::Sender<()>,
    armed: Arc<AtomicBool>,
}

impl Hold {
    fn at(point: Failpoint) -> (Self, impl Fn(Failpoint) -> Result<(), i32> + Send + Sync + 'static) {
        let (reach, reached) = mpsc::channel();
        let (let_go, wait) = mpsc::channel();
        let (reach, wait) = (Mutex::new(reach), Mutex::new(wait));
        let armed = Arc::<AtomicBool>::default();
        let hook = {
            let armed = Arc::clone(&armed);
            move |reached| {
                if reached == point && armed.swap(false, Ordering::SeqCst) {
                    reach.lock().unwrap().send(()).unwrap();
                    // A failed test drops the sender, which also unblocks the writer.
                    let _ = wait.lock().unwrap().recv();
                }
                Ok(())
            }
        };
        (Self { reached, let_go, armed }, hook)
    }
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// The failpoints at which the writer is blocked while the runtime of its callers ends.
const FAILPOINTS: [Failpoint; 6] = [
    Failpoint::Begun,
    Failpoint::Applying,
    Failpoint::Applied,
    Failpoint::Committing,
    Failpoint::Committed,
    Failpoint::Answered,
];

/// Ends a runtime while the writer is blocked in a transaction with calls of that runtime, and checks the store. Returns the
/// number of calls without an answer, and the number of those that the store applied.
fn a_runtime_ends(point: Failpoint, ends_the_pipelines: bool) -> (u64, u64) {
    const CALLS: usize = 6;

    let store = Store::fresh();
    let (hold, hook) = Hold::at(point);
    let (staying, ending) = (runtime(), runtime());
    let opening = if ends_the_pipelines { &ending } else { &staying };
    let db = opening.block_on(store.open(|options| options.failpoints(hook)));
    staying.block_on(reserve(&db.thread("t")));
    hold.armed.store(true, Ordering::SeqCst);
    let (answer, answers) = mpsc::channel();
    for n in 0..CALLS {
        let (thread, answer) = (db.thread("t"), answer.clone());
        let call = [Call::Add, Call::Append, Call::Batch][n % 3];
        ending.spawn(async move {
            let answered = call.make(&thread, n).await;
            // The test outlives its runtimes.
            answer.send((n, answered)).unwrap();
        });
    }
    drop(answer);
    hold.reached.recv_timeout(PROMPT).unwrap_or_else(|_| panic!("the writer did not reach {point:?}"));
    drop(ending);
    hold.let_go.send(()).unwrap();
    // The channel ends with the last call.
    let mut answered = [false; CALLS];
    for (n, answer) in answers {
        match answer {
            Ok(()) => answered[n] = true,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Cancelled, "{point:?}: {error}"),
        }
    }
    let thread = db.thread("t");
    let next = || async {
        promptly("the next write", thread.add(NewMessage::user("next"))).await;
        promptly("the next read", thread.get(streamed())).await;
    };
    staying.block_on(async {
        for _ in 0..4 {
            next().await;
        }
    });
    expect_no_open_transaction(&store.path);
    if ends_the_pipelines {
        // No runtime is left that could close the store. The writer ends with the last handle.
        drop((thread, db));
    } else {
        staying.block_on(promptly("closing", db.close()));
    }
    staying.block_on(async {
        let db = store.open(|options| options).await;
        let found = found(&db.thread("t")).await;
        let mut left = (0, 0);
        for (n, answered) in answered.into_iter().enumerate() {
            let (times, once) = (found.get(&n).copied().unwrap_or_default(), if n % 3 == 2 { 3 } else { 1 });
            assert!(times == once || times == 0 && !answered, "{point:?}: call {n} is there {times} times");
            left.0 += u64::from(!answered);
            left.1 += u64::from(!answered && times > 0);
        }
        promptly("closing", db.close()).await;
        left
    })
}

#[test]
fn rel_11_calls_of_an_ended_runtime_are_applied_once_or_not_at_all() {
    let mut report = Report::new("REL-11-RUNTIME");
    for ends_the_pipelines in [false, true] {
        let which = if ends_the_pipelines { "the pipeline's" } else { "the callers'" };
        let mut left = (0, 0);
        for _ in 0..scaled(5) {
            for point in FAILPOINTS {
                let (unanswered, applied) = a_runtime_ends(point, ends_the_pipelines);
                left = (left.0 + unanswered, left.1 + applied);
            }
        }
        report.fired(format!("calls left by {which} runtime"), left.0);
        report.count(format!("of them applied, {which} runtime"), left.1);
    }
    report.finish();
}
