//! Runs one check and returns its result.

use std::{
    any::Any,
    cell::RefCell,
    panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook},
    sync::{
        Arc, Once,
        mpsc::{RecvTimeoutError, channel},
    },
    thread,
    time::{Duration, Instant},
};

use throughline_core::Capabilities;
use tokio::runtime::{Builder, Runtime};

use crate::{Check, StoreLocation, erased::Subject, model, rig::Rig, thread_log};

/// The timeout of a check, so that the others still run after a hang. No check waits for real time, but a busy machine can take several times
/// as long for one: a check over Postgres took 16 s by itself, and more than 80 s next to seven others and to other programs.
pub(crate) const HANGS_AFTER: Duration = Duration::from_secs(300);

/// The timeout of a check over a mutant, and of a law. All of them run in memory. A check over some mutants never ends.
pub(crate) const HANGS_AFTER_IN_MEMORY: Duration = Duration::from_secs(60);

/// Runs `check` at a fresh location, with random sequences from `seed` on; an error says where it failed and on what, or that the check did not
/// end within `timeout` and a second for each random sequence.
pub(crate) fn run(
    subject: &Arc<dyn Subject>,
    check: &Check,
    claims: &Capabilities,
    seed: u64,
    timeout: Duration,
) -> Result<(), String> {
    let directory = tempfile::tempdir().map_err(|error| format!("no temporary directory: {error}"))?;
    let rig = Rig::new(Arc::clone(subject), StoreLocation::fresh(directory.path()), claims.clone(), seed);
    let threads = check.needs.wants_threads();
    let (run, checked) = (check.run, rig.clone());
    // One more second for each requested sequence.
    let timeout = timeout + Duration::from_secs(model::cases());
    let outcome = isolated_until(timeout_after(timeout), check.id, threads, move || run(checked));
    // The cleanup also runs after a failure, so that the next run of the suite finds no leftovers.
    let cleaned = isolated(check.id, false, move || async move { rig.clean().await });
    outcome.and(cleaned)
}

/// Runs a future to its end on a thread and a runtime of its own; a panic is an error.
pub(crate) fn isolated<F>(
    name: &str,
    threads: bool,
    work: impl FnOnce() -> F + Send + 'static,
) -> Result<(), String>
where
    F: Future<Output = ()>,
{
    isolated_until(timeout_after(HANGS_AFTER), name, threads, work)
}

/// Returns a function that reports a hang after this timeout.
pub(crate) fn timeout_after(timeout: Duration) -> impl Fn(Duration) -> Option<String> {
    move |took| (took >= timeout).then(|| format!("it hangs: no end after {timeout:?}"))
}

/// The interval between two tests for a hang.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Like [`isolated`], until `hangs` reports a hang for the elapsed time.
pub(crate) fn isolated_until<F>(
    hangs: impl Fn(Duration) -> Option<String>,
    name: &str,
    threads: bool,
    work: impl FnOnce() -> F + Send + 'static,
) -> Result<(), String>
where
    F: Future<Output = ()>,
{
    capture_panics();
    thread_log::prepare();
    let (reported, ended) = channel();
    let body = move || {
        CAPTURED.with_borrow_mut(|captured| *captured = Some(None));
        let ran = catch_unwind(AssertUnwindSafe(|| {
            let runtime = runtime(threads);
            runtime.block_on(work());
            // A task that a check left running must not delay the others.
            runtime.shutdown_background();
        }));
        let ran = ran.map_err(|payload| {
            let captured = CAPTURED.with_borrow_mut(|captured| captured.take().flatten());
            captured.unwrap_or_else(|| text(&*payload))
        });
        // After a hang the receiver is gone.
        reported.send(ran).ok();
    };
    // The time is measured outside of the runtime: checks advance the clock of the runtime.
    match thread::Builder::new().name(name.to_owned()).spawn(body) {
        Ok(_) => {
            let begun = Instant::now();
            loop {
                match ended.recv_timeout(LOOK_EVERY) {
                    Ok(ended) => return ended,
                    Err(RecvTimeoutError::Disconnected) => return Err("it ended without a result".to_owned()),
                    Err(RecvTimeoutError::Timeout) => {
                        if let Some(case) = hangs(begun.elapsed()) {
                            return Err(case);
                        }
                    }
                }
            }
        }
        Err(error) => Err(format!("no thread: {error}")),
    }
}

fn runtime(threads: bool) -> Runtime {
    let runtime = if threads {
        Builder::new_multi_thread().worker_threads(4).enable_all().build()
    } else {
        Builder::new_current_thread().enable_all().build()
    };
    runtime.expect("a runtime")
}

fn text(payload: &(dyn Any + Send)) -> String {
    payload
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "it panicked".to_owned())
}

/// The panic message of a check that acts as a failing layer or observer. It is not reported.
pub(crate) const ON_PURPOSE: &str = "on purpose";

thread_local! {
    /// On the thread of a check: the last panic, with its location. Many checks panic on purpose inside the pipeline; only
    /// the panic that ends the check is reported.
    static CAPTURED: RefCell<Option<Option<String>>> = const { RefCell::new(None) };
}

fn capture_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| {
            if text(info.payload()) == ON_PURPOSE {
                return;
            }
            let captured = CAPTURED.try_with(|captured| {
                let mut captured = captured.borrow_mut();
                let Some(captured) = captured.as_mut() else { return false };
                let source =
                    info.location().map_or_else(String::new, |at| format!("{}:{}: ", at.file(), at.line()));
                *captured = Some(format!("{source}{}", text(info.payload())));
                true
            });
            if captured != Ok(true) {
                before(info);
            }
        }));
    });
}
