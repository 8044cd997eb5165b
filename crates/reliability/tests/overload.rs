//! REL-19: ten times more callers than queue slots. Memory stays bounded, and no admitted write is lost.

use std::{
    fs,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        mpsc,
    },
    time::{Duration, Instant},
};

use rusqlite::Connection;
use throughline_core::{
    Content, Effect, ErrorKind, NewMessage, PersistError, Persistence, Result, Role, Site, Thread,
    pipeline::Admission,
};
use throughline_reliability::{Report, scaled, skipped};
use throughline_sqlite::{Failpoint, SqliteBackend};
use tokio::{
    sync::Barrier,
    task::{JoinHandle, JoinSet},
    time::{interval, sleep, timeout},
};

/// The slots of the writer's queue, and the most bytes that wait in it.
const SLOTS: usize = 1024;
const QUEUE_BYTES: usize = 16 << 20;

/// The most writes that the pipeline admits: more than the queue has slots, so that calls meet both limits. No call waits for
/// admission.
const ADMITTED: usize = SLOTS + SLOTS / 4;
const ADMISSION: Admission = Admission { writes: ADMITTED, reads: 16, waiting: 0 };

/// Each caller makes one call after the other. A few have long messages. Together, all messages have far more bytes than the
/// limit of memory growth, so that the number of admitted calls matters.
const CALLERS: usize = 10 * SLOTS;
const LONG_CALLERS: usize = 16;
const LONG: usize = 1 << 20;
const SHORT: usize = 16 << 10;

/// The most growth of memory beyond the bytes that the settings allow to wait.
const GROWTH: usize = 64 << 20;

/// The longest duration of any step.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Returns the resident memory of the process, if the system reports it.
fn resident() -> Option<usize> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.strip_suffix("kB"))?;
    Some(kilobytes.trim().parse::<usize>().ok()? << 10)
}

/// Counts the outcomes of the calls.
#[derive(Debug, Default)]
struct Counters {
    applied: AtomicU64,
    refused_at_the_edge: AtomicU64,
    refused_by_the_queue: AtomicU64,
    /// Errors other than those of an overload.
    wrong: Mutex<Vec<PersistError>>,
}

impl Counters {
    /// Records an answer. Returns the duration after which the caller may retry, if the error has one.
    fn record(&self, answer: Result<()>) -> Option<Duration> {
        let Err(error) = answer else {
            self.applied.fetch_add(1, Relaxed);
            return None;
        };
        let is_overload = (error.kind(), error.effect()) == (ErrorKind::Overloaded, Effect::NotApplied);
        let wait = error.retry_after();
        match error.site() {
            Some(Site::Edge) if is_overload && wait.is_some() => {
                self.refused_at_the_edge.fetch_add(1, Relaxed);
            }
            Some(Site::Backend(_)) if is_overload => {
                self.refused_by_the_queue.fetch_add(1, Relaxed);
            }
            _ => self.wrong.lock().unwrap().push(error),
        }
        wait
    }
}

/// Returns content with this many bytes of text.
fn text(bytes: usize) -> Content {
    Content::from_json(format!(r#"["{}"]"#, "x".repeat(bytes))).unwrap()
}

/// Returns a message with a copy of the content. Clones would share their memory, and building the text again would use
/// processor time that the store needs.
fn copy_of(text: &Content) -> NewMessage {
    NewMessage::new(Role::User, Content::from_blocks(&[text]).unwrap())
}

/// Makes one call after the other until `over` is set.
async fn caller(
    thread: Thread,
    text: Content,
    counters: Arc<Counters>,
    warm: Arc<Barrier>,
    over: Arc<AtomicBool>,
) {
    // A short message first, so that the state of each caller is allocated before the test measures memory.
    counters.record(thread.add(NewMessage::user("warm")).await.map(drop));
    warm.wait().await;
    warm.wait().await;
    while !over.load(Relaxed) {
        if let Some(wait) = counters.record(thread.add(copy_of(&text)).await.map(drop)) {
            // Longer than the error asks for: otherwise so many callers would leave the store no processor time.
            sleep(10 * wait).await;
        }
    }
}

/// Records the highest resident memory of the process from now on.
fn watch_memory() -> (JoinHandle<()>, Arc<AtomicU64>) {
    let highest = Arc::<AtomicU64>::default();
    let watching = tokio::spawn({
        let highest = Arc::clone(&highest);
        let mut ticks = interval(Duration::from_millis(20));
        async move {
            loop {
                ticks.tick().await;
                highest.fetch_max(resident().unwrap_or_default() as u64, Relaxed);
            }
        }
    });
    (watching, highest)
}

/// Blocks the writer at the beginning of its next transaction, after `asked` is set and until `let_go` is sent.
struct Hold {
    asked: Arc<AtomicBool>,
    held: mpsc::Receiver<()>,
    let_go: mpsc::Sender<()>,
}

impl Hold {
    fn new() -> (Self, impl Fn(Failpoint) -> std::result::Result<(), i32> + Send + Sync + 'static) {
        let asked = Arc::<AtomicBool>::default();
        let (hold, held) = mpsc::channel();
        let (let_go, wait) = mpsc::channel();
        let hook = {
            let (asked, wait) = (Arc::clone(&asked), Mutex::new(wait));
            let hold = Mutex::new(hold);
            move |point| {
                if point == Failpoint::Begun && asked.swap(false, Relaxed) {
                    hold.lock().unwrap().send(()).unwrap();
                    // A failed test drops the sender, which also unblocks the writer.
                    let _ = wait.lock().unwrap().recv();
                }
                Ok(())
            }
        };
        (Self { asked, held, let_go }, hook)
    }
}

/// Starts `count` short writes.
fn writes(thread: &Thread, count: usize) -> JoinSet<Result<()>> {
    let add = |_| {
        let thread = thread.clone();
        async move { thread.add(NewMessage::user("after")).await.map(drop) }
    };
    (0..count).map(add).collect()
}

/// Fills every slot of the queue while the writer is blocked, and checks that there are as many as the settings allow.
/// Returns the number of applied writes.
async fn fill_every_slot(thread: &Thread, hold: &Hold) -> usize {
    hold.asked.store(true, Relaxed);
    // One write more than the pipeline admits: the edge refuses exactly one, at once.
    let mut calls = writes(thread, ADMITTED + 1);
    let mut refused = Vec::new();
    // Writes without a slot in the queue time out. Writes with a slot still wait.
    while refused.len() < ADMITTED + 1 - SLOTS {
        let answer = calls.join_next().await.expect("more writes wait than the queue has slots").unwrap();
        refused.push(answer.expect_err("a write was applied while the writer was held"));
    }
    hold.held.recv_timeout(TIMEOUT).expect("the writer was not held");
    hold.let_go.send(()).unwrap();
    for error in &refused {
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Overloaded, Effect::NotApplied), "{error}");
    }
    let at_the_edge = refused.iter().filter(|error| error.site() == Some(&Site::Edge)).count();
    assert_eq!(at_the_edge, 1);
    let answers = calls.join_all().await;
    assert_eq!(answers.len(), SLOTS);
    answers.into_iter().for_each(|answer| answer.expect("a write with a slot is applied"));
    // A message as large as the queue waits until the queue is empty.
    thread.add(copy_of(&text(QUEUE_BYTES))).await.expect("all bytes of the queue are free");
    SLOTS + 1
}

/// Returns the number of messages in the file.
fn rows(path: &Path) -> u64 {
    let db = Connection::open(path).unwrap();
    let rows: i64 = db.query_row("SELECT count(*) FROM messages", [], |row| row.get(0)).unwrap();
    rows.unsigned_abs()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rel_19_overload_is_refused_and_memory_stays_bounded() {
    if resident().is_none() {
        return skipped("REL-19", "the system does not report the memory of a process");
    }
    let mut report = Report::new("REL-19");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    let (hold, hook) = Hold::new();
    let options = SqliteBackend::builder().queue_operations(SLOTS).queue_bytes(QUEUE_BYTES);
    let backend = options.failpoints(hook).open(&path).await.unwrap();
    let db: Persistence = Persistence::builder().backend(backend).admission(ADMISSION).build().unwrap();
    let thread = db.thread("t");
    let counters = Arc::<Counters>::default();
    let (long, short) = (text(LONG), text(SHORT));
    let (warm, over) = (Arc::new(Barrier::new(CALLERS + 1)), Arc::<AtomicBool>::default());
    let callers: JoinSet<()> = (0..CALLERS)
        .map(|n| {
            let text = if n < LONG_CALLERS { &long } else { &short };
            caller(thread.clone(), text.clone(), Arc::clone(&counters), Arc::clone(&warm), Arc::clone(&over))
        })
        .collect();
    warm.wait().await;
    let baseline = resident().unwrap();
    let (watching, highest) = watch_memory();
    let (warmed, begun) = (counters.applied.load(Relaxed), Instant::now());
    warm.wait().await;
    // Ten seconds are enough to fill every slot several times; a long run takes thirty.
    sleep(Duration::from_secs(scaled(10))).await;
    over.store(true, Relaxed);
    timeout(TIMEOUT, callers.join_all()).await.expect("a caller was never answered");
    let (applied, lasted) = (counters.applied.load(Relaxed) - warmed, begun.elapsed());
    watching.abort();

    let begun = Instant::now();
    let answers = timeout(TIMEOUT, writes(&thread, SLOTS).join_all()).await.expect("the writer has stopped");
    answers.into_iter().for_each(|answer| answer.expect("a write after the overload"));
    let after = begun.elapsed();
    let all = fill_every_slot(&thread, &hold);
    let filled = timeout(TIMEOUT, all).await.expect("a slot was not released");
    timeout(TIMEOUT, db.close()).await.expect("a call is still in flight").unwrap();

    let refused = counters.refused_at_the_edge.load(Relaxed);
    let growth = (highest.load(Relaxed) as usize).saturating_sub(baseline);
    report.count("callers", CALLERS);
    report.count("applied", applied);
    report.count("applied_per_second", format!("{:.0}", applied as f64 / lasted.as_secs_f64()));
    report.count("applied_per_second_afterwards", format!("{:.0}", SLOTS as f64 / after.as_secs_f64()));
    report.count("refused_for_each_applied", format!("{:.1}", refused as f64 / applied as f64));
    report.count("baseline_mib", baseline >> 20);
    report.count("growth_mib", growth >> 20);
    report.fired("refused at the edge", refused);
    report.count("refused by the queue", counters.refused_by_the_queue.load(Relaxed));
    let wrong = counters.wrong.lock().unwrap();
    assert!(wrong.is_empty(), "{} other answers, such as {:?}", wrong.len(), wrong.first());
    assert_eq!(rows(&path), counters.applied.load(Relaxed) + (SLOTS + filled) as u64);
    // Each admitted call holds its message. The queue holds some of these messages, within its limit of bytes.
    let allowed = ADMITTED * SHORT + LONG_CALLERS * LONG;
    assert!(growth < allowed + GROWTH, "{growth} bytes more, and the settings allow for {allowed}");
    report.finish();
}
