//! The runtime of a store: it runs the tasks on threads of its own. So neither the end of the caller's runtime nor
//! its paused clock affects a write.

use std::{fmt, io, thread};

use tokio::{
    runtime::{Builder, Handle},
    sync::mpsc,
};

/// The number of threads. The tasks mostly wait for the server.
const THREADS: usize = 2;

/// A handle to the threads. They run until the last [`KeepAlive`] is dropped.
#[derive(Clone)]
pub(crate) struct Engine {
    handle: Handle,
    keep_alive: KeepAlive,
}

/// Keeps the threads running. A task that holds it can wait for other tasks of the threads.
#[derive(Debug, Clone)]
pub(crate) struct KeepAlive(
    #[allow(dead_code, reason = "the threads end when the last sender is dropped")] mpsc::Sender<()>,
);

impl Engine {
    /// Starts the threads.
    ///
    /// # Errors
    /// Returns the error of the system.
    pub(crate) fn start() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("throughline-postgres")
            .enable_all()
            .build()?;
        let handle = runtime.handle().clone();
        let (keep_alive, mut gone) = mpsc::channel(1);
        let wait = move || {
            runtime.block_on(gone.recv());
            runtime.shutdown_background();
        };
        thread::Builder::new().name("throughline-postgres".to_owned()).spawn(wait)?;
        Ok(Self { handle, keep_alive: KeepAlive(keep_alive) })
    }

    /// Returns the runtime handle, for a task that may end with the threads.
    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Returns a guard for a task that must run to its end.
    pub(crate) fn keep_alive(&self) -> KeepAlive {
        self.keep_alive.clone()
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}
