use std::time::Duration;

use throughline_core::{Persistence, sessions::BeginRun};

use super::PreparedRun;

/// Runs agents in threads, and keeps for each the session that its next run resumes.
///
/// - One run of an agent in a thread is active at a time. Later runs wait, in order of arrival in this process. Each one
///   continues with the session of the run before it. Runs of other agents and threads do not wait.
/// - The store decides in the commit that begins a run which session the run resumes. It compares the provider, the runtime
///   and the session generation.
/// - The runner renews the lease of an active run. If it cannot, it [requests a stop](super::Run::stop_requested), and drops the
///   closure when the lease expires.
/// - A successful run is confirmed: its [writes](super::RunSuccess::with_write) and the new pointer are one commit. The pointer
///   names only a session that the run has [pinned](super::Run::pin_session) or reported.
/// - Every run ends. An error or a panic of the closure is recorded as a failure, and a drop as a cancellation.
/// - The runner repeats a run once, with a fresh session, if the provider [refused its
///   session](super::RunFailure::session_refused) and no [tool was called](super::Run::record_tool_call). It repeats a run for no
///   other reason.
///
/// The page of the [crate](crate) has a complete program.
#[derive(Debug, Clone)]
pub struct SessionRunner {
    db: Persistence,
    wait: Duration,
    grace: Duration,
}

impl SessionRunner {
    /// The default of [`with_wait`](Self::with_wait): ten minutes.
    pub const DEFAULT_WAIT: Duration = Duration::from_secs(600);

    /// The default of [`with_grace`](Self::with_grace): five seconds.
    pub const DEFAULT_GRACE: Duration = Duration::from_secs(5);

    /// Returns a runner over this pipeline. All runners over one pipeline share their queues, whichever handle they have.
    #[must_use]
    pub const fn new(db: Persistence) -> Self {
        Self { db, wait: Self::DEFAULT_WAIT, grace: Self::DEFAULT_GRACE }
    }

    /// Sets how long a run waits for earlier runs. After that it fails as [`Busy`](throughline_core::ErrorKind::Busy).
    #[must_use]
    pub const fn with_wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Sets the grace period: how long a closure may continue after a request to stop, before the runner drops it. A closure
    /// whose lease expires has at most a sixth of the lease.
    #[must_use]
    pub const fn with_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Prepares a run. [`AgentThread::run`](throughline_core::sessions::AgentThread::run) creates `begin`, and its methods set the
    /// lease, the directory and the generation. Nothing happens before [`PreparedRun::run`].
    pub fn prepare<'a>(&self, begin: BeginRun) -> PreparedRun<'a> {
        PreparedRun::new(self.db.clone(), begin, self.wait, self.grace)
    }
}
