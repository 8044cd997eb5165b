//! REL-19: ten times more callers than there are places, and neither memory nor an admitted write is lost to them.

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

/// The places of the writer's queue, and the bytes that may wait in it.
const PLACES: usize = 1024;
const QUEUE_BYTES: usize = 16 << 20;

/// How many writes the pipeline lets in: more than have a place, so that both bounds are met. Nobody waits before it.
const LET_IN: usize = PLACES + PLACES / 4;
const ADMISSION: Admission = Admission { writes: LET_IN, reads: 16, waiting: 0 };

/// Each of them makes one call after the other. A few have long messages. All of their messages together are far more
/// than memory may grow by, so that it matters how many are let in.
const CALLERS: usize = 10 * PLACES;
const LONG_CALLERS: usize = 16;
const LONG: usize = 1 << 20;
const SHORT: usize = 16 << 10;

/// What memory may grow by beyond what the settings allow to wait.
const GROWTH: usize = 64 << 20;

/// All of it is over within that.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What the process has in memory, where the system says so.
fn resident() -> Option<usize> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.strip_suffix("kB"))?;
    Some(kilobytes.trim().parse::<usize>().ok()? << 10)
}

/// What came of the calls.
#[derive(Debug, Default)]
struct Tally {
    applied: AtomicU64,
    refused_at_the_edge: AtomicU64,
    refused_by_the_queue: AtomicU64,
    /// Refusals that are none of an overload.
    wrong: Mutex<Vec<PersistError>>,
}

impl Tally {
    /// Takes note of an answer. Says how long its caller is to wait, if anybody has said so.
    fn take(&self, answer: Result<()>) -> Option<Duration> {
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

/// A text of so many bytes.
fn text(bytes: usize) -> Content {
    Content::from_json(format!(r#"["{}"]"#, "x".repeat(bytes))).unwrap()
}

/// A message that says it, in memory of its own: clones would share one, and to write it again would take the processors
/// that the store is to have.
fn saying(text: &Content) -> NewMessage {
    NewMessage::new(Role::User, Content::from_blocks(&[text]).unwrap())
}

/// Makes one call after the other from when it begins until it is over.
async fn caller(thread: Thread, text: Content, tally: Arc<Tally>, warm: Arc<Barrier>, over: Arc<AtomicBool>) {
    // A short one first: everything that a caller keeps is there before memory is measured.
    tally.take(thread.add(NewMessage::user("warm")).await.map(drop));
    warm.wait().await;
    warm.wait().await;
    while !over.load(Relaxed) {
        if let Some(wait) = tally.take(thread.add(saying(&text)).await.map(drop)) {
            // Longer than it was told: so many callers would leave the store no processor.
            sleep(10 * wait).await;
        }
    }
}

/// The highest that the memory of the process has been since.
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

/// Holds the writer at the beginning of a transaction, from when it is asked until it is let go.
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
                    // A test that has failed lets it go as well.
                    let _ = wait.lock().unwrap().recv();
                }
                Ok(())
            }
        };
        (Self { asked, held, let_go }, hook)
    }
}

/// Starts so many short writes.
fn writes(thread: &Thread, count: usize) -> JoinSet<Result<()>> {
    let add = |_| {
        let thread = thread.clone();
        async move { thread.add(NewMessage::user("after")).await.map(drop) }
    };
    (0..count).map(add).collect()
}

/// Fills every place that there is while the writer is held, and finds as many as the settings say. Answers how many
/// writes were applied.
async fn every_place_is_back(thread: &Thread, hold: &Hold) -> usize {
    hold.asked.store(true, Relaxed);
    // Lets one more in than there are places at the edge, which is the one that is refused there, and at once.
    let mut calls = writes(thread, LET_IN + 1);
    let mut refused = Vec::new();
    // Those that have no place in the queue give up after a while, and everyone who has one is still there.
    while refused.len() < LET_IN + 1 - PLACES {
        let answer = calls.join_next().await.expect("more writes wait than there are places").unwrap();
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
    assert_eq!(answers.len(), PLACES);
    answers.into_iter().for_each(|answer| answer.expect("a write that has a place is applied"));
    // What is as long as all bytes of the queue waits until none of them is taken.
    thread.add(saying(&text(QUEUE_BYTES))).await.expect("every byte is back");
    PLACES + 1
}

/// How many messages the file holds.
fn rows(path: &Path) -> u64 {
    let db = Connection::open(path).unwrap();
    let rows: i64 = db.query_row("SELECT count(*) FROM messages", [], |row| row.get(0)).unwrap();
    rows.unsigned_abs()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rel_19_an_overload_is_refused_and_costs_no_memory() {
    if resident().is_none() {
        return skipped("REL-19", "the system does not say how much memory a process has");
    }
    let mut report = Report::new("REL-19");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    let (hold, hook) = Hold::new();
    let options = SqliteBackend::builder().queue_operations(PLACES).queue_bytes(QUEUE_BYTES);
    let backend = options.failpoints(hook).open(&path).await.unwrap();
    let db: Persistence = Persistence::builder().backend(backend).admission(ADMISSION).build().unwrap();
    let thread = db.thread("t");
    let tally = Arc::<Tally>::default();
    let (long, short) = (text(LONG), text(SHORT));
    let (warm, over) = (Arc::new(Barrier::new(CALLERS + 1)), Arc::<AtomicBool>::default());
    let callers: JoinSet<()> = (0..CALLERS)
        .map(|n| {
            let text = if n < LONG_CALLERS { &long } else { &short };
            caller(thread.clone(), text.clone(), Arc::clone(&tally), Arc::clone(&warm), Arc::clone(&over))
        })
        .collect();
    warm.wait().await;
    let baseline = resident().unwrap();
    let (watching, highest) = watch_memory();
    let (warmed, begun) = (tally.applied.load(Relaxed), Instant::now());
    warm.wait().await;
    // Thirty seconds in a long run: ten are enough to fill every place several times over.
    sleep(Duration::from_secs(scaled(10))).await;
    over.store(true, Relaxed);
    timeout(TIMEOUT, callers.join_all()).await.expect("a caller was never answered");
    let (applied, lasted) = (tally.applied.load(Relaxed) - warmed, begun.elapsed());
    watching.abort();

    let begun = Instant::now();
    let answers = timeout(TIMEOUT, writes(&thread, PLACES).join_all()).await.expect("the writer has stopped");
    answers.into_iter().for_each(|answer| answer.expect("a write after the overload"));
    let after = begun.elapsed();
    let all = every_place_is_back(&thread, &hold);
    let filled = timeout(TIMEOUT, all).await.expect("a place never came back");
    timeout(TIMEOUT, db.close()).await.expect("a call is still in flight").unwrap();

    let refused = tally.refused_at_the_edge.load(Relaxed);
    let growth = (highest.load(Relaxed) as usize).saturating_sub(baseline);
    report.count("callers", CALLERS);
    report.count("applied", applied);
    report.count("applied_per_second", format!("{:.0}", applied as f64 / lasted.as_secs_f64()));
    report.count("applied_per_second_afterwards", format!("{:.0}", PLACES as f64 / after.as_secs_f64()));
    report.count("refused_for_each_applied", format!("{:.1}", refused as f64 / applied as f64));
    report.count("baseline_mib", baseline >> 20);
    report.count("growth_mib", growth >> 20);
    report.fired("refused at the edge", refused);
    report.count("refused by the queue", tally.refused_by_the_queue.load(Relaxed));
    let wrong = tally.wrong.lock().unwrap();
    assert!(wrong.is_empty(), "{} other answers, such as {:?}", wrong.len(), wrong.first());
    assert_eq!(rows(&path), tally.applied.load(Relaxed) + (PLACES + filled) as u64);
    // Who is let in has a message in hand. What waits in the queue is some of those, in the limit of its bytes.
    let allowed = LET_IN * SHORT + LONG_CALLERS * LONG;
    assert!(growth < allowed + GROWTH, "{growth} bytes more, and the settings allow for {allowed}");
    report.finish();
}
