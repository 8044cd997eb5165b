//! Where the tasks of a store run: on threads of their own, so that neither the end of a caller's runtime nor its clock, which a
//! test may turn, has a part in what becomes of a write.

use std::{fmt, io, thread};

use tokio::{
    runtime::{Builder, Handle},
    sync::mpsc,
};

/// How many threads carry the connections. They wait far more than they work.
const THREADS: usize = 2;

/// The hold on the threads. They go on until nobody has a [`Stay`] any more.
#[derive(Clone)]
pub(crate) struct Engine {
    handle: Handle,
    stay: Stay,
}

/// Keeps the threads. Whoever holds it may await what they do.
#[derive(Debug, Clone)]
pub(crate) struct Stay(
    #[allow(dead_code, reason = "what counts is when the last one is dropped")] mpsc::Sender<()>,
);

impl Engine {
    /// Starts the threads.
    ///
    /// # Errors
    /// What the system answers.
    pub(crate) fn start() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("throughline-postgres")
            .enable_all()
            .build()?;
        let handle = runtime.handle().clone();
        let (stay, mut gone) = mpsc::channel(1);
        let wait = move || {
            runtime.block_on(gone.recv());
            runtime.shutdown_background();
        };
        thread::Builder::new().name("throughline-postgres".to_owned()).spawn(wait)?;
        Ok(Self { handle, stay: Stay(stay) })
    }

    /// Runs a task that is over when the threads are.
    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// For a task that is to end by itself.
    pub(crate) fn stay(&self) -> Stay {
        self.stay.clone()
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}
