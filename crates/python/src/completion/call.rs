//! A call of an event loop.

use std::{
    mem,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use pyo3::{intern, prelude::*};
use throughline::Result;

use super::{
    Ready,
    event_loop::{EventLoop, Job},
};
use crate::{answer::Answer, error};

/// A call that its event loop polls.
struct Call<F> {
    state: Mutex<State<F>>,
    /// Whether it is in the inbox of its loop.
    is_queued: AtomicBool,
    event_loop: Arc<EventLoop>,
}

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
}

impl<F> Wake for Call<F>
where
    F: Future<Output = Result<Answer>> + Send + Unpin + 'static,
{
    fn wake(self: Arc<Self>) {
        if !self.is_queued.swap(true, Ordering::SeqCst) {
            let event_loop = Arc::clone(&self.event_loop);
            event_loop.push(self);
        }
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_queued.swap(true, Ordering::SeqCst) {
            self.event_loop.push(Arc::clone(self) as Arc<dyn Job>);
        }
    }
}

impl<F> Job for Call<F>
where
    F: Future<Output = Result<Answer>> + Send + Unpin + 'static,
{
    fn run(self: Arc<Self>, py: Python<'_>, _on: &Arc<EventLoop>) {
        self.is_queued.store(false, Ordering::SeqCst);
        let Poll::Ready(answer) = self.poll() else { return };
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

/// Starts a call that ends when its task is cancelled, as a wait without an end does.
pub(crate) fn start_cancellable<F>(py: Python<'_>, work: F) -> PyResult<Py<PyAny>>
where
    F: Future<Output = Result<Answer>> + Send + Unpin + 'static,
{
    begin(py, work, true)
}

/// Starts a call on the running loop. Returns an awaitable for its answer.
///
/// The first poll is here: it hands the call to the store. A cancelled task drops only its future; the call goes on to its outcome.
pub(crate) fn start<F>(py: Python<'_>, work: F) -> PyResult<Py<PyAny>>
where
    F: Future<Output = Result<Answer>> + Send + Unpin + 'static,
{
    begin(py, work, false)
}

fn begin<F>(py: Python<'_>, work: F, is_cancellable: bool) -> PyResult<Py<PyAny>>
where
    F: Future<Output = Result<Answer>> + Send + Unpin + 'static,
{
    let (running, event_loop) = EventLoop::running(py)?;
    let state = State { work: Some(work), future: None, slot: None };
    let call = Arc::new(Call {
        state: Mutex::new(state),
        is_queued: AtomicBool::new(false),
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
            let future = running.call_method0(intern!(py, "create_future"))?;
            let slot = event_loop.keep(Arc::clone(&call) as Arc<dyn Job>);
            let mut state = call.state();
            state.future = Some(future.clone().unbind());
            state.slot = Some(slot);
            drop(state);
            if is_cancellable {
                let cancel = Cancel { call: call as Arc<dyn Job>, event_loop, slot };
                future.call_method1(intern!(py, "add_done_callback"), (cancel,))?;
            }
            Ok(future.unbind())
        }
    }
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
