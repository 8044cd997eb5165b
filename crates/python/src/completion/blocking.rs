//! A call of a thread that waits for it.

use std::{
    cell::Cell,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use pyo3::prelude::*;
use tokio::runtime::Handle;

use crate::process;

/// The time between two looks for a signal, such as the one of Ctrl-C, which only the main thread handles.
const SIGNALS: Duration = Duration::from_millis(50);

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

thread_local! {
    static WAKER: Waker = Waker::from(Arc::new(Unpark(thread::current())));
    /// Whether this thread is the main one, in a process of this generation: in a forked child the thread that forked is.
    static IS_MAIN: Cell<Option<(u64, bool)>> = const { Cell::new(None) };
}

fn is_main_thread(py: Python<'_>) -> bool {
    let ask = || {
        let threading = py.import("threading")?;
        let (current, main) =
            (threading.call_method0("current_thread")?, threading.call_method0("main_thread")?);
        Ok::<_, PyErr>(current.is(&main))
    };
    let generation = process::generation();
    match IS_MAIN.get() {
        Some((of, is_main)) if of == generation => is_main,
        _ => {
            let is_main = ask().unwrap_or(true);
            IS_MAIN.set(Some((generation, is_main)));
            is_main
        }
    }
}

/// Waits for the work without the interpreter lock. A signal whose handler raises, such as Ctrl-C, ends the wait: the library completes
/// a write that the store has received.
pub(crate) fn block_on<F>(
    py: Python<'_>,
    runtime: &Handle,
    is_quick: bool,
    mut work: F,
) -> PyResult<F::Output>
where
    F: Future + Send + Unpin,
    F::Output: Send,
{
    let waker = WAKER.with(Waker::clone);
    if is_quick {
        let _entered = runtime.enter();
        if let Poll::Ready(answer) = Pin::new(&mut work).poll(&mut Context::from_waker(&waker)) {
            return Ok(answer);
        }
    }
    let handles_signals = is_main_thread(py);
    py.detach(move || {
        let _entered = runtime.enter();
        let mut looked_at = Instant::now();
        loop {
            if let Poll::Ready(answer) = Pin::new(&mut work).poll(&mut Context::from_waker(&waker)) {
                return Ok(answer);
            }
            if handles_signals {
                thread::park_timeout(SIGNALS);
                if looked_at.elapsed() >= SIGNALS {
                    #[expect(
                        clippy::redundant_closure_for_method_calls,
                        reason = "the path has one lifetime only"
                    )]
                    Python::attach(|py| py.check_signals())?;
                    looked_at = Instant::now();
                }
            } else {
                thread::park();
            }
        }
    })
}
