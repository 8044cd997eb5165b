//! The tokio runtime of the process, and what a fork and the end of the interpreter change.
//!
//! A child that was forked has none of the threads of its parent. Each handle belongs to the generation of the process in which it
//! was made; a fork begins the next generation, and an older handle refuses every call. It also releases nothing when it is dropped:
//! its connections and locks are those of the parent.
//!
//! Before a fork, the stores leave SQLite, whose locks the child inherits too: [`before_fork`].
//!
//! Every lock of this module is taken only by a thread that is attached to the interpreter, and released before it detaches. The
//! thread that forks is attached too, so that the child never inherits a lock that another thread holds.

use std::{
    cell::RefCell,
    mem, process,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use pyo3::prelude::*;
use throughline::{Effect, ErrorKind, PersistError, sqlite::ForkGuard};
use tokio::runtime::{Builder, Handle, Runtime};

use crate::{completion, error, store};

static GENERATION: AtomicU64 = AtomicU64::new(0);
/// The process of the generation. Zero before the first use.
static OF_PROCESS: AtomicU32 = AtomicU32::new(0);
/// The generation of the last process that began a fork.
static FORKED_FROM: AtomicU64 = AtomicU64::new(0);
static IS_ENDING: AtomicBool = AtomicBool::new(false);
static RUNTIME: Mutex<Option<Runtime>> = Mutex::new(None);

/// The threads of the runtime. They serve timers, drafts and Postgres; the store of SQLite has threads of its own.
const WORKERS: usize = 2;

/// The time that the end of the interpreter waits for each of the open stores.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// The number of forks that led to this process.
///
/// It asks for the process at each call: functions that a host has registered for the child before it imported this package run before
/// [`after_fork_in_child`], and may open a store.
pub(crate) fn generation() -> u64 {
    let (current, known) = (process::id(), OF_PROCESS.load(Ordering::Relaxed));
    if current != known
        && OF_PROCESS.compare_exchange(known, current, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        && known != 0
    {
        begin_generation();
    }
    GENERATION.load(Ordering::Relaxed)
}

/// Returns a handle to the runtime of this process, which the first call starts.
pub(crate) fn runtime(_attached: Python<'_>) -> PyResult<Handle> {
    generation();
    let mut runtime = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(runtime) = &*runtime {
        return Ok(runtime.handle().clone());
    }
    let threads = Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .thread_name("throughline-py")
        .enable_time()
        .enable_io()
        .build()?;
    let handle = threads.handle().clone();
    *runtime = Some(threads);
    Ok(handle)
}

/// Refuses a call on a handle of this generation after a fork, and any call while the interpreter ends.
pub(crate) fn check(py: Python<'_>, of: u64) -> PyResult<()> {
    if of != generation() {
        return Err(error::forked(py));
    }
    if IS_ENDING.load(Ordering::Relaxed) {
        let ending =
            PersistError::new(ErrorKind::Unavailable, "the interpreter is ending, and its stores are closed");
        return Err(error::raise(py, &ending.with_effect(Effect::NotApplied)));
    }
    Ok(())
}

/// A value with connections, threads or locks of its process. In a child that was forked, a drop leaks it.
#[derive(Debug)]
pub(crate) struct Owned<T> {
    value: Option<T>,
    generation: u64,
}

impl<T> Owned<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { value: Some(value), generation: generation() }
    }

    /// Returns the value. Raises `ForkedError` in a child of its process.
    pub(crate) fn get(&self, py: Python<'_>) -> PyResult<&T> {
        check(py, self.generation)?;
        self.value.as_ref().ok_or_else(|| error::forked(py))
    }

    /// Returns the value for a use that touches neither connections nor threads.
    pub(crate) fn peek(&self) -> Option<&T> {
        self.value.as_ref()
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        if self.generation != generation() {
            mem::forget(self.value.take());
        }
    }
}

/// The time that a fork waits for the stores to leave SQLite: a long read or a disk that hangs takes longer, and the fork does not wait for it.
const FORK_LIMIT: Duration = Duration::from_secs(2);

thread_local! {
    /// Held by the thread that forks, from before the fork until after it.
    static FORK_GUARD: RefCell<Option<ForkGuard>> = const { RefCell::new(None) };
}

/// Keeps the stores from using SQLite: `os.register_at_fork` calls it before the fork.
#[pyfunction]
pub(crate) fn before_fork(py: Python<'_>) {
    FORKED_FROM.store(generation(), Ordering::Relaxed);
    // A store that answers a call may need the interpreter before it leaves SQLite.
    py.detach(|| {
        let guard = ForkGuard::new(FORK_LIMIT);
        FORK_GUARD.with(|held| *held.borrow_mut() = Some(guard));
    });
}

/// Lets the stores go on: `os.register_at_fork` calls it in the parent.
#[pyfunction]
pub(crate) fn after_fork_in_parent() {
    release_fork_guard();
}

fn release_fork_guard() {
    FORK_GUARD.with(|held| drop(held.borrow_mut().take()));
}

/// Begins the next generation: `os.register_at_fork` calls it in the child.
#[pyfunction]
pub(crate) fn after_fork_in_child() {
    // In a new namespace, the child can have the number of its parent.
    if generation() == FORKED_FROM.load(Ordering::Relaxed) {
        begin_generation();
    }
    // Another thread of the child may have begun the generation.
    release_fork_guard();
}

fn begin_generation() {
    release_fork_guard();
    GENERATION.fetch_add(1, Ordering::Relaxed);
    // Its threads do not exist here, so that it can neither be used nor shut down.
    mem::forget(RUNTIME.lock().unwrap_or_else(PoisonError::into_inner).take());
    completion::forget_loops();
    store::forget_stores();
}

/// Closes every store before the interpreter ends: `atexit` calls it. Later completions are dropped.
#[pyfunction]
pub(crate) fn at_exit(py: Python<'_>) {
    if IS_ENDING.swap(true, Ordering::Relaxed) {
        return;
    }
    // A call that no loop will poll again would hold up the end of its store.
    completion::close_loops(py);
    let stores: Vec<Arc<store::Shared>> = store::open_stores(py);
    let Ok(runtime) = runtime(py) else { return };
    if !stores.is_empty() {
        py.detach(|| {
            let closing: Vec<_> = stores
                .into_iter()
                .map(|store| runtime.spawn(async move { store.db().close_within(CLOSE_LIMIT).await }))
                .collect();
            runtime.block_on(async {
                for closing in closing {
                    // A store that does not close in time keeps every write that it has acknowledged.
                    drop(closing.await);
                }
            });
        });
    }
}
