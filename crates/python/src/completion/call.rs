//! A call of an event loop.

use std::{
    hint, mem,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use pyo3::{intern, prelude::*, sync::PyOnceLock, types::PyDict};
use throughline::Result;

use super::{
    Ready,
    event_loop::{EventLoop, Job},
};
use crate::{answer::Answer, error};

/// A call that its event loop polls.
struct Call<F> {
    state: Mutex<State<F>>,
    progress: AtomicU8,
    event_loop: Arc<EventLoop>,
}

/// No poll is due.
const WAITS: u8 = 0;
/// It is in the inbox of its loop.
const QUEUED: u8 = 1;
/// Its loop polls it.
const POLLED: u8 = 2;
/// Its loop polls it, and something woke it meanwhile.
const POLLED_AND_WOKEN: u8 = 3;

/// The time for which a loop polls a call again that wakes itself, such as the spin of a lone writer, before it turns to its other
/// tasks. A turn of the loop takes as long.
const AGAIN: Duration = Duration::from_micros(30);

struct State<F> {
    /// The work, until it is complete.
    work: Option<F>,
    /// The future of the loop, from the first poll that did not complete the work.
    future: Option<Py<PyAny>>,
    slot: Option<usize>,
}

impl<F> Call<F> {
    fn state(&self) -> MutexGuard<'_, State<F>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F> Call<F>
where
    F: Future<Output = Result<Answer>> + Send + Unpin + 'static,
{
    fn poll(self: &Arc<Self>) -> Poll<Result<Answer>> {
        let waker = Waker::from(Arc::clone(self));
        let mut state = self.state();
        let Some(work) = &mut state.work else { return Poll::Pending };
        let polled = Pin::new(work).poll(&mut Context::from_waker(&waker));
        if polled.is_ready() {
            let work = state.work.take();
            drop(state);
            drop(work);
        }
        polled
    }

    /// Polls it on its loop, and again while each poll is followed by a wake-up.
    fn poll_while_woken(self: &Arc<Self>) -> Poll<Result<Answer>> {
        let mut begun = None;
        loop {
            self.progress.store(POLLED, SeqCst);
            let polled = self.poll();
            if polled.is_ready() || self.progress.compare_exchange(POLLED, WAITS, SeqCst, SeqCst).is_ok() {
                return polled;
            }
            if begun.get_or_insert_with(Instant::now).elapsed() >= AGAIN {
                self.progress.store(QUEUED, SeqCst);
                self.event_loop.push(Arc::clone(self) as Arc<dyn Job>);
                return Poll::Pending;
            }
            hint::spin_loop();
        }
    }
}

impl<F> Wake for Call<F>
where
    F: Future<Output = Result<Answer>> + Send + Unpin + 'static,
{
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let woken = self.progress.fetch_update(SeqCst, SeqCst, |progress| match progress {
            WAITS => Some(QUEUED),
            POLLED => Some(POLLED_AND_WOKEN),
            _ => None,
        });
        if woken == Ok(WAITS) {
            self.event_loop.push(Arc::clone(self) as Arc<dyn Job>);
        }
    }
}

impl<F> Job for Call<F>
where
    F: Future<Output = Result<Answer>> + Send + Unpin + 'static,
{
    fn run(self: Arc<Self>, py: Python<'_>, _on: &Arc<EventLoop>) {
        let Poll::Ready(answer) = self.poll_while_woken() else { return };
        let (future, slot) = {
            let mut state = self.state();
            (state.future.take(), state.slot.take())
        };
        if let Some(slot) = slot {
            self.event_loop.release(slot);
        }
        if let Some(future) = future {
            complete(future.bind(py), answer);
        }
    }

    fn discard(&self, _py: Python<'_>) -> bool {
        let mut state = self.state();
        let (work, future) = (state.work.take(), state.future.take());
        drop(state);
        let was_pending = work.is_some();
        drop(work);
        drop(future);
        was_pending
    }
}

/// The effect of the cancellation of a task on its call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnCancel {
    /// The task leaves the call, which goes on to its outcome.
    Leaves,
    /// The task waits for the outcome of the call first.
    Waits,
    /// The call ends: it is a wait without an end.
    Ends,
}

/// Starts a call on the running loop. Returns an awaitable for its answer.
///
/// The first poll is here: it hands the call to the store.
pub(crate) fn start<F>(py: Python<'_>, on_cancel: OnCancel, work: F) -> PyResult<Py<PyAny>>
where
    F: Future<Output = Result<Answer>> + Send + Unpin + 'static,
{
    let (running, event_loop) = EventLoop::running(py)?;
    let state = State { work: Some(work), future: None, slot: None };
    let call = Arc::new(Call {
        state: Mutex::new(state),
        progress: AtomicU8::new(WAITS),
        event_loop: Arc::clone(&event_loop),
    });
    let polled = {
        let _entered = event_loop.runtime().enter();
        call.poll()
    };
    match polled {
        Poll::Ready(Ok(answer)) => Ready::with(py, answer.into_python(py)?),
        Poll::Ready(Err(failed)) => Err(error::raise(py, &failed)),
        Poll::Pending => {
            // A wake-up before this line is in the inbox, which only this thread takes.
            let future = match on_cancel {
                OnCancel::Waits => settling_future(&running)?,
                OnCancel::Leaves | OnCancel::Ends => running.call_method0(intern!(py, "create_future"))?,
            };
            let slot = event_loop.keep(Arc::clone(&call) as Arc<dyn Job>);
            let mut state = call.state();
            state.future = Some(future.clone().unbind());
            state.slot = Some(slot);
            drop(state);
            if on_cancel == OnCancel::Ends {
                let cancel = Cancel { call: call as Arc<dyn Job>, event_loop, slot };
                future.call_method1(intern!(py, "add_done_callback"), (cancel,))?;
            }
            Ok(future.unbind())
        }
    }
}

/// Makes a future that waits for its outcome before it is cancelled.
fn settling_future<'py>(running: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = running.py();
    let class = CLASS.get_or_try_init(py, || {
        Ok::<_, PyErr>(py.import("throughline._settle")?.getattr("SettlingFuture")?.unbind())
    })?;
    let options = PyDict::new(py);
    options.set_item(intern!(py, "loop"), running)?;
    class.bind(py).call((), Some(&options))
}

/// Gives a future its answer, unless its task has left.
pub(super) fn complete(future: &Bound<'_, PyAny>, answer: Result<Answer>) {
    let py = future.py();
    let has_left = future.call_method0(intern!(py, "done")).and_then(|done| done.is_truthy());
    if has_left.unwrap_or(true) {
        if let Ok(answer) = answer {
            answer.discard();
        }
        return;
    }
    let answered =
        answer.map_err(|failed| error::raise(py, &failed)).and_then(|answer| answer.into_python(py));
    let given = match answered {
        Ok(answer) => future.call_method1(intern!(py, "set_result"), (answer,)),
        Err(raised) => future.call_method1(intern!(py, "set_exception"), (raised.into_value(py),)),
    };
    // It fails only on a loop that is closed, which has no task that waits.
    mem::drop(given);
}

/// Ends a call when its future is cancelled.
#[pyclass(frozen, module = "throughline._throughline")]
struct Cancel {
    call: Arc<dyn Job>,
    event_loop: Arc<EventLoop>,
    slot: usize,
}

#[pymethods]
impl Cancel {
    fn __call__(&self, future: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = future.py();
        if future.call_method0(intern!(py, "cancelled"))?.is_truthy()? && self.call.discard(py) {
            self.event_loop.release(self.slot);
        }
        Ok(())
    }
}
