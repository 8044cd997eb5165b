//! Layers that are written in Python.
//!
//! A call that reaches such a layer waits for a task of the event loop that opened the store. The task runs the hook of the plugin;
//! when the hook calls `next`, the call continues into the rest of the pipeline, on the thread that it came from. Both sides exchange
//! JSON through the inbox of the loop, so that a call never waits for the interpreter, and a slow hook holds up no other call.

use std::{
    fmt,
    future::poll_fn,
    mem,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context as TaskContext, Poll},
};

use pyo3::{
    exceptions::PyRuntimeError,
    intern,
    prelude::*,
    types::{PyBytes, PyTuple},
};
use throughline::{
    Context, Effect, ErrorKind, MessageId, PersistArgs, PersistError, PersistRequest, PersistResponse,
    PersistResult, Result, ThreadId,
    pipeline::{LayerList, Phase, SharedService},
};
use tokio::sync::{mpsc, oneshot};
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    completion::{EventLoop, Job},
    error::{invalid, of_plugin, raise},
    json,
};

/// The loop that runs the hooks of a store.
pub(crate) struct PluginHost {
    event_loop: Arc<EventLoop>,
}

impl PluginHost {
    /// Returns the running loop, or for blocking callers a loop in a thread of its own.
    pub(crate) fn here(py: Python<'_>, blocking: bool) -> PyResult<Arc<Self>> {
        if blocking {
            let started = py.import("throughline._plugin_loop")?.call_method0("start")?;
            return Ok(Arc::new(Self { event_loop: EventLoop::known(&started)? }));
        }
        let (_, event_loop) = EventLoop::running(py)?;
        Ok(Arc::new(Self { event_loop }))
    }

    /// Refuses a call if the loop is closed: its hook would never run.
    pub(crate) fn check(&self, py: Python<'_>) -> PyResult<()> {
        if self.event_loop.asks_closed(py) { Err(raise(py, &closed())) } else { Ok(()) }
    }
}

fn closed() -> PersistError {
    let detail = "the event loop that opened the store, and that runs its plugins, is closed";
    PersistError::new(ErrorKind::Unavailable, detail)
}

/// Registers the loop of the current thread.
#[pyfunction]
pub(crate) fn register_loop(py: Python<'_>) -> PyResult<()> {
    EventLoop::running(py).map(drop)
}

/// Returns the layers of plugins: the name, the phase and the hook of each.
pub(crate) fn layers(
    plugins: Vec<(String, String, Py<PyAny>)>,
    host: Option<&Arc<PluginHost>>,
) -> Result<Vec<PythonLayer>> {
    let Some(host) = host else { return Ok(Vec::new()) };
    let layer = |(name, phase, hook): (String, String, Py<PyAny>)| {
        let phase = match phase.as_str() {
            "admit" => Phase::Admit,
            "guard" => Phase::Guard,
            "observe" => Phase::Observe,
            "transform" => Phase::Transform,
            "route" => Phase::Route,
            other => {
                let phases = "admit, guard, observe, transform or route";
                return Err(invalid(format!("plugin {name:?}: {other:?} is no phase: {phases}")));
            }
        };
        Ok(PythonLayer { name, phase, hook: Arc::new(hook), host: Arc::clone(host) })
    };
    plugins.into_iter().map(layer).collect()
}

/// The layer of one plugin.
#[derive(Clone)]
pub(crate) struct PythonLayer {
    name: String,
    phase: Phase,
    hook: Arc<Py<PyAny>>,
    host: Arc<PluginHost>,
}

impl PythonLayer {
    /// Adds the layer to a list.
    pub(crate) fn add_to(self, list: LayerList) -> LayerList {
        list.with_as(self.name.clone(), self.phase, self)
    }
}

impl Layer<SharedService> for PythonLayer {
    type Service = PythonService;

    fn layer(&self, inner: SharedService) -> PythonService {
        PythonService { inner, hook: Arc::clone(&self.hook), host: Arc::clone(&self.host) }
    }
}

/// The service of a [`PythonLayer`].
#[derive(Clone)]
pub(crate) struct PythonService {
    inner: SharedService,
    hook: Arc<Py<PyAny>>,
    host: Arc<PluginHost>,
}

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl Service<PersistRequest> for PythonService {
    type Response = PersistResponse;
    type Error = PersistError;
    type Future = BoxFuture<Result<PersistResponse>>;

    fn poll_ready(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<()>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: PersistRequest) -> Self::Future {
        let ready = self.inner.clone();
        let inner = mem::replace(&mut self.inner, ready);
        Box::pin(run(inner, request, Arc::clone(&self.hook), Arc::clone(&self.host)))
    }
}

fn encoded(value: &impl serde::Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| {
        PersistError::new(ErrorKind::Internal, format!("the call cannot be encoded for the plugin: {error}"))
    })
}

/// Runs one call through the hook.
async fn run(
    mut inner: SharedService,
    request: PersistRequest,
    hook: Arc<Py<PyAny>>,
    host: Arc<PluginHost>,
) -> Result<PersistResponse> {
    let PersistRequest { args, context } = request;
    let (asks, mut asked) = mpsc::channel(1);
    let (outcome, mut ended) = oneshot::channel();
    let task = Arc::new(HookTask {
        hook,
        args: encoded(&args)?,
        context: context.clone(),
        asks,
        state: Mutex::new(HookState { outcome: Some(outcome), task: None, passed: None }),
    });
    drop(args);
    host.event_loop.push(Arc::clone(&task) as Arc<dyn Job>);
    let _cancel = CancelOnDrop { task: Arc::clone(&task), host: Arc::clone(&host) };
    let mut call: Option<BoxFuture<Result<PersistResponse>>> = None;
    let mut reply: Option<Reply> = None;
    let mut response: Option<(Vec<u8>, PersistResponse)> = None;
    let (mut is_called, mut is_over) = (false, false);
    let json = loop {
        tokio::select! {
            biased;
            ended = &mut ended => break ended.map_err(|_| closed())??,
            answer = poll_fn(|cx| match &mut call {
                Some(call) => call.as_mut().poll(cx),
                None => Poll::Pending,
            }) => {
                call = None;
                let answered_json = match answer {
                    Ok(answered) => {
                        let json = encoded(&answered.result)?;
                        response = Some((json.clone(), answered));
                        Ok(json)
                    }
                    Err(error) => Err(error),
                };
                if let Some(reply) = reply.take() {
                    reply.send(answered_json);
                }
            }
            ask = asked.recv(), if !is_called && !is_over => match ask {
                Some(Ask { args, reply: to }) => {
                    is_called = true;
                    reply = Some(to);
                    call = Some(inner.call(PersistRequest { args: *args, context: context.clone() }));
                }
                None => is_over = true,
            },
        }
    };
    match response {
        Some((answered, response)) if answered == json => Ok(response),
        other => {
            let result: PersistResult = serde_json::from_slice(&json).map_err(|error| {
                let detail = format!("the reply of the plugin cannot be read: {error}");
                PersistError::new(ErrorKind::ContractViolation, detail)
            })?;
            let (receipt, extensions) =
                other.map(|(_, response)| (response.receipt, response.extensions)).unwrap_or_default();
            Ok(PersistResponse { result, receipt, extensions })
        }
    }
}

/// The task of a hook, for one call.
struct HookTask {
    hook: Arc<Py<PyAny>>,
    args: Vec<u8>,
    context: Context,
    asks: mpsc::Sender<Ask>,
    state: Mutex<HookState>,
}

struct HookState {
    outcome: Option<oneshot::Sender<Result<Vec<u8>>>>,
    /// The asyncio task.
    task: Option<Py<PyAny>>,
    /// The error of the rest of the pipeline, and the exception that the hook saw.
    passed: Option<(PersistError, Py<PyAny>)>,
}

/// The hook has called `next`.
struct Ask {
    args: Box<PersistArgs>,
    reply: Reply,
}

impl HookTask {
    fn state(&self) -> MutexGuard<'_, HookState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, outcome: Result<Vec<u8>>) {
        let sender = self.state().outcome.take();
        if let Some(sender) = sender {
            // Its call has left.
            drop(sender.send(outcome));
        }
    }

    fn begin(self: &Arc<Self>, py: Python<'_>, on: &Arc<EventLoop>) -> PyResult<()> {
        let context = &self.context;
        let facts = PyTuple::new(
            py,
            [
                context.kind().as_str().into_pyobject(py)?.into_any(),
                PyBytes::new(py, &self.args).into_any(),
                context.tenant().as_str().into_pyobject(py)?.into_any(),
                context.thread().map(ThreadId::as_str).into_pyobject(py)?.into_any(),
                context.message().map(MessageId::as_str).into_pyobject(py)?.into_any(),
                context.actor().into_pyobject(py)?.into_any(),
                context.call_site().into_pyobject(py)?.into_any(),
                context.idempotency().map(|one| one.key.as_str()).into_pyobject(py)?.into_any(),
            ],
        )?;
        let next = Py::new(
            py,
            NextCall {
                task: Arc::clone(self),
                event_loop: Arc::clone(on),
                is_called: AtomicBool::new(false),
            },
        )?;
        let coroutine = self.hook.bind(py).call1((facts, next))?;
        let (running, _) = EventLoop::running(py)?;
        let task = running.call_method1(intern!(py, "create_task"), (coroutine,))?;
        self.state().task = Some(task.clone().unbind());
        task.call_method1(intern!(py, "add_done_callback"), (HookDone { task: Arc::clone(self) },))?;
        Ok(())
    }
}

impl Job for HookTask {
    fn run(self: Arc<Self>, py: Python<'_>, on: &Arc<EventLoop>) {
        if self.state().outcome.as_ref().is_none_or(oneshot::Sender::is_closed) {
            return;
        }
        if let Err(failed) = self.begin(py, on) {
            self.end(Err(of_plugin(py, failed.value(py), None)));
        }
    }

    fn discard(&self, _py: Python<'_>) -> bool {
        self.state().outcome.take().is_some()
    }
}

/// Takes the outcome of a task.
#[pyclass(frozen, module = "throughline._throughline")]
struct HookDone {
    task: Arc<HookTask>,
}

#[pymethods]
impl HookDone {
    fn __call__(&self, task: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = task.py();
        let passed = self.task.state().passed.take();
        self.task.state().task = None;
        if task.call_method0(intern!(py, "cancelled"))?.is_truthy()? {
            let cancelled = PersistError::new(ErrorKind::Cancelled, "the hook of the plugin was cancelled");
            self.task.end(Err(cancelled));
            return Ok(());
        }
        let exception = task.call_method0(intern!(py, "exception"))?;
        if exception.is_none() {
            let json = task.call_method0(intern!(py, "result"))?.extract::<Vec<u8>>()?;
            self.task.end(Ok(json));
        } else {
            let passed = passed.filter(|(_, seen)| exception.is(seen)).map(|(error, _)| error);
            self.task.end(Err(of_plugin(py, &exception, passed)));
        }
        Ok(())
    }
}

/// Runs the rest of the pipeline: the function that a hook calls.
#[pyclass(frozen, module = "throughline._throughline")]
struct NextCall {
    task: Arc<HookTask>,
    event_loop: Arc<EventLoop>,
    is_called: AtomicBool,
}

#[pymethods]
impl NextCall {
    fn __call__(&self, py: Python<'_>, args: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let args: PersistArgs = json::wire(py, json::text_of(args)?, "the arguments of the call")?;
        if self.is_called.swap(true, Ordering::Relaxed) {
            return Err(PyRuntimeError::new_err("a plugin calls `next` at most once for each call"));
        }
        let (running, _) = EventLoop::running(py)?;
        let future = running.call_method0(intern!(py, "create_future"))?;
        let reply = Reply {
            future: future.clone().unbind(),
            task: Arc::clone(&self.task),
            event_loop: Arc::clone(&self.event_loop),
        };
        match self.task.asks.try_send(Ask { args: Box::new(args), reply }) {
            Ok(()) => Ok(future.unbind()),
            Err(_) => {
                let left = PersistError::new(ErrorKind::Cancelled, "the caller has left");
                Err(raise(py, &left.with_effect(Effect::NotApplied)))
            }
        }
    }
}

/// The future that `next` returned.
struct Reply {
    future: Py<PyAny>,
    task: Arc<HookTask>,
    event_loop: Arc<EventLoop>,
}

impl Reply {
    fn send(self, answer: Result<Vec<u8>>) {
        let Self { future, task, event_loop } = self;
        event_loop.push(Arc::new(Resolve { future, task, answer: Mutex::new(Some(answer)) }));
    }
}

/// Gives the future of `next` its answer, on the loop.
struct Resolve {
    future: Py<PyAny>,
    task: Arc<HookTask>,
    answer: Mutex<Option<Result<Vec<u8>>>>,
}

impl Resolve {
    fn resolve(&self, py: Python<'_>, answer: Result<Vec<u8>>) -> PyResult<()> {
        let future = self.future.bind(py);
        if future.call_method0(intern!(py, "done"))?.is_truthy()? {
            return Ok(());
        }
        match answer {
            Ok(json) => future.call_method1(intern!(py, "set_result"), (PyBytes::new(py, &json),))?,
            Err(error) => {
                let exception = raise(py, &error).into_value(py).into_any();
                self.task.state().passed = Some((error, exception.clone_ref(py)));
                future.call_method1(intern!(py, "set_exception"), (exception,))?
            }
        };
        Ok(())
    }
}

impl Job for Resolve {
    fn run(self: Arc<Self>, py: Python<'_>, _on: &Arc<EventLoop>) {
        let answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(answer) = answer {
            // It fails only on a loop that is closed, whose hooks have ended.
            drop(self.resolve(py, answer));
        }
    }

    fn discard(&self, _py: Python<'_>) -> bool {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner).take().is_some()
    }
}

/// Cancels the task of a hook whose call has left, for example at its deadline.
struct CancelOnDrop {
    task: Arc<HookTask>,
    host: Arc<PluginHost>,
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        let mut state = self.task.state();
        // A task that has not begun sees that its caller has left.
        state.outcome = None;
        let is_running = state.task.is_some();
        drop(state);
        if is_running {
            self.host.event_loop.push(Arc::new(CancelTask { task: Arc::clone(&self.task) }));
        }
    }
}

struct CancelTask {
    task: Arc<HookTask>,
}

impl Job for CancelTask {
    fn run(self: Arc<Self>, py: Python<'_>, _on: &Arc<EventLoop>) {
        let task = self.task.state().task.take();
        if let Some(task) = task {
            drop(task.call_method0(py, intern!(py, "cancel")));
        }
    }

    fn discard(&self, _py: Python<'_>) -> bool {
        false
    }
}

impl fmt::Debug for PythonService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PythonService")
    }
}
