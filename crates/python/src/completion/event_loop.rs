//! The inbox of an event loop: finished calls, which the loop takes in batches.

use std::{
    collections::HashMap,
    io::{Read as _, Write as _},
    mem,
    os::{fd::AsRawFd as _, unix::net::UnixStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
};

use pyo3::{
    exceptions::{PyAttributeError, PyNotImplementedError, PyRuntimeError},
    intern,
    prelude::*,
    sync::PyOnceLock,
    types::PyWeakrefReference,
};
use tokio::runtime::Handle;

use crate::process;

/// Something that the thread of a loop does.
pub(crate) trait Job: Send + Sync {
    /// Does it, on the thread of the loop.
    fn run(self: Arc<Self>, py: Python<'_>, on: &Arc<EventLoop>);

    /// Drops it: its loop is closed, or its task was cancelled. The library completes a write that the store has received. Returns
    /// whether there was something to drop.
    fn discard(&self, py: Python<'_>) -> bool;
}

/// A loop that has called this package.
pub(crate) struct EventLoop {
    /// A weak reference: a loop that is closed and dropped takes its inbox along.
    reference: Py<PyWeakrefReference>,
    inbox: Mutex<Inbox>,
    /// Whether the loop has been woken since it last took the inbox.
    is_woken: AtomicBool,
    wakeup: Wakeup,
    runtime: Handle,
    generation: u64,
}

#[derive(Default)]
struct Inbox {
    /// The jobs of the next turn of the loop.
    ready: Vec<Arc<dyn Job>>,
    /// The calls that are not complete. The waker of a call refers to the call, so that only this list can end one whose loop is
    /// closed.
    pending: Vec<Option<Arc<dyn Job>>>,
    free: Vec<usize>,
    is_closed: bool,
}

/// How a thread of the library wakes the loop.
enum Wakeup {
    /// By a byte to a socket that the loop watches.
    Socket(UnixStream),
    /// By a thread that calls `call_soon_threadsafe`, for a loop that watches no sockets.
    Thread(mpsc::Sender<Weak<EventLoop>>),
}

/// The loops, by the address of each. A loop that is collected removes itself.
static LOOPS: Mutex<Option<HashMap<usize, Arc<EventLoop>>>> = Mutex::new(None);

fn loops() -> MutexGuard<'static, Option<HashMap<usize, Arc<EventLoop>>>> {
    process::generation();
    LOOPS.lock().unwrap_or_else(PoisonError::into_inner)
}

static RUNNING_LOOP: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

impl EventLoop {
    /// Returns the running loop, with its inbox. Raises `RuntimeError` outside of a loop.
    pub(crate) fn running(py: Python<'_>) -> PyResult<(Bound<'_, PyAny>, Arc<Self>)> {
        let get_running_loop = RUNNING_LOOP.get_or_try_init(py, || {
            Ok::<_, PyErr>(py.import("asyncio")?.getattr("get_running_loop")?.unbind())
        })?;
        let event_loop = get_running_loop.bind(py).call0()?;
        let address = event_loop.as_ptr().addr();
        if let Some(found) = loops().as_ref().and_then(|loops| loops.get(&address)) {
            return Ok((event_loop, Arc::clone(found)));
        }
        let made = Self::of(&event_loop)?;
        Ok((event_loop, made))
    }

    /// Returns a loop that has called this package.
    pub(crate) fn known(event_loop: &Bound<'_, PyAny>) -> PyResult<Arc<Self>> {
        let found = loops().as_ref().and_then(|loops| loops.get(&event_loop.as_ptr().addr()).map(Arc::clone));
        found.ok_or_else(|| PyRuntimeError::new_err("the event loop has not called this package"))
    }

    /// Makes the inbox of a loop, on its thread.
    fn of(event_loop: &Bound<'_, PyAny>) -> PyResult<Arc<Self>> {
        let py = event_loop.py();
        end_closed_loops(py);
        let address = event_loop.as_ptr().addr();
        let forget = Py::new(py, Forget { address })?;
        let reference = PyWeakrefReference::new_with(event_loop, forget)?.unbind();
        let runtime = process::runtime(py)?;
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        theirs.set_nonblocking(true)?;
        let descriptor = ours.as_raw_fd();
        let made = |wakeup| {
            Arc::new(Self {
                reference: reference.clone_ref(py),
                inbox: Mutex::default(),
                is_woken: AtomicBool::new(false),
                wakeup,
                runtime: runtime.clone(),
                generation: process::generation(),
            })
        };
        let watched = made(Wakeup::Socket(theirs));
        let turn = Turn { of: Arc::clone(&watched), socket: Some(ours) };
        let made = match event_loop.call_method1(intern!(py, "add_reader"), (descriptor, Py::new(py, turn)?))
        {
            Ok(_) => watched,
            Err(error)
                if error.is_instance_of::<PyNotImplementedError>(py)
                    || error.is_instance_of::<PyAttributeError>(py) =>
            {
                made(Wakeup::Thread(waking_thread()?))
            }
            Err(error) => return Err(error),
        };
        loops().get_or_insert_default().insert(address, Arc::clone(&made));
        Ok(made)
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the runtime of the process of the loop.
    pub(crate) const fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Whether the loop is closed, as far as the inbox knows.
    pub(crate) fn is_closed(&self) -> bool {
        self.inbox().is_closed
    }

    /// Asks the loop itself whether it is closed.
    pub(crate) fn asks_closed(&self, py: Python<'_>) -> bool {
        self.is_closed() || is_closed(self.reference.bind(py))
    }

    /// Keeps a call that is not complete, and returns its slot.
    pub(super) fn keep(&self, call: Arc<dyn Job>) -> usize {
        let mut inbox = self.inbox();
        match inbox.free.pop() {
            Some(slot) => {
                inbox.pending[slot] = Some(call);
                slot
            }
            None => {
                inbox.pending.push(Some(call));
                inbox.pending.len() - 1
            }
        }
    }

    /// Forgets a call that is complete.
    pub(super) fn release(&self, slot: usize) {
        let mut inbox = self.inbox();
        let call = inbox.pending.get_mut(slot).and_then(Option::take);
        if call.is_some() {
            inbox.free.push(slot);
        }
        drop(inbox);
    }

    /// Gives the loop something to do. Any thread may call it; it never waits for the interpreter.
    pub(crate) fn push(self: &Arc<Self>, job: Arc<dyn Job>) {
        let mut inbox = self.inbox();
        if inbox.is_closed {
            drop(inbox);
            return;
        }
        inbox.ready.push(job);
        drop(inbox);
        if self.is_woken.swap(true, Ordering::SeqCst) {
            return;
        }
        match &self.wakeup {
            // A full buffer has bytes that wake the loop. A closed one has no loop.
            Wakeup::Socket(socket) => drop((&*socket).write(&[1])),
            Wakeup::Thread(thread) => drop(thread.send(Arc::downgrade(self))),
        }
    }

    /// Does everything that is in the inbox.
    fn turn(self: &Arc<Self>, py: Python<'_>) {
        self.is_woken.store(false, Ordering::SeqCst);
        let ready = mem::take(&mut self.inbox().ready);
        let _entered = self.runtime.enter();
        for job in ready {
            job.run(py, self);
        }
    }

    /// Drops every call, and everything that comes later.
    fn close(&self, py: Python<'_>) {
        let mut inbox = self.inbox();
        inbox.is_closed = true;
        let Inbox { ready, pending, .. } = mem::take(&mut *inbox);
        inbox.is_closed = true;
        drop(inbox);
        for job in ready.into_iter().chain(pending.into_iter().flatten()) {
            job.discard(py);
        }
    }
}

/// A turn of the loop: it calls this when its socket is readable.
#[pyclass(frozen, module = "throughline._throughline")]
struct Turn {
    of: Arc<EventLoop>,
    socket: Option<UnixStream>,
}

#[pymethods]
impl Turn {
    fn __call__(&self, py: Python<'_>) {
        if self.of.generation != process::generation() {
            // The loop was copied by a fork: its calls are those of the parent.
            return;
        }
        if let Some(mut socket) = self.socket.as_ref() {
            // One byte for each wake-up. An error is a wake-up of another turn.
            drop(socket.read(&mut [0; 64]));
        }
        self.of.turn(py);
    }
}

/// Removes a loop when the interpreter collects it.
#[pyclass(frozen, module = "throughline._throughline")]
struct Forget {
    address: usize,
}

#[pymethods]
impl Forget {
    fn __call__(&self, py: Python<'_>, _reference: &Bound<'_, PyAny>) {
        let removed = loops().as_mut().and_then(|loops| loops.remove(&self.address));
        if let Some(removed) = removed {
            removed.close(py);
        }
    }
}

fn is_closed(reference: &Bound<'_, PyWeakrefReference>) -> bool {
    use pyo3::types::PyWeakrefMethods as _;
    let Some(event_loop) = reference.upgrade() else { return true };
    let closed = event_loop.call_method0(intern!(reference.py(), "is_closed"));
    closed.and_then(|closed| closed.is_truthy()).unwrap_or(false)
}

/// Drops the calls of loops that were closed. A closed loop says nothing by itself, so that the next loop looks for it.
fn end_closed_loops(py: Python<'_>) {
    let all: Vec<(usize, Arc<EventLoop>)> = {
        let loops = loops();
        loops.iter().flatten().map(|(address, one)| (*address, Arc::clone(one))).collect()
    };
    for (address, one) in all {
        if is_closed(one.reference.bind(py)) {
            let removed = loops().as_mut().and_then(|loops| loops.remove(&address));
            drop(removed);
            one.close(py);
        }
    }
}

/// Drops the calls of all loops: the interpreter ends.
pub(crate) fn close_loops(py: Python<'_>) {
    let all = loops().take();
    for one in all.into_iter().flat_map(HashMap::into_values) {
        one.close(py);
    }
}

/// Leaves the loops of the parent to it, in a child that was forked.
pub(crate) fn forget_loops() {
    mem::forget(loops().take());
    mem::forget(WAKING.lock().unwrap_or_else(PoisonError::into_inner).take());
}

static WAKING: Mutex<Option<mpsc::Sender<Weak<EventLoop>>>> = Mutex::new(None);

/// Returns the channel to the thread that wakes loops without sockets, which the first such loop starts. It waits for the interpreter,
/// so that no thread of a store has to.
fn waking_thread() -> PyResult<mpsc::Sender<Weak<EventLoop>>> {
    let mut waking = WAKING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(thread) = &*waking {
        return Ok(thread.clone());
    }
    let (sender, receiver) = mpsc::channel::<Weak<EventLoop>>();
    thread::Builder::new().name("throughline-wake".to_owned()).spawn(move || {
        for woken in receiver {
            let Some(woken) = woken.upgrade() else { continue };
            // `None` while the interpreter ends: the completion is dropped.
            if Python::try_attach(|py| call_soon(py, &woken)).is_none() {
                return;
            }
        }
    })?;
    *waking = Some(sender.clone());
    Ok(sender)
}

fn call_soon(py: Python<'_>, woken: &Arc<EventLoop>) {
    use pyo3::types::PyWeakrefMethods as _;
    let Some(event_loop) = woken.reference.bind(py).upgrade() else { return };
    let Ok(turn) = Py::new(py, Turn { of: Arc::clone(woken), socket: None }) else { return };
    // A closed loop refuses it: its completions are dropped.
    drop(event_loop.call_method1(intern!(py, "call_soon_threadsafe"), (turn,)));
}
