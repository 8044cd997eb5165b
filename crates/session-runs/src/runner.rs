use std::time::Duration;

use super::PreparedRun;
use throughline_core::{Persistence, sessions::BeginRun};

/// Runs agents in threads, and keeps what each goes on with.
///
/// What a run has to take care of is taken care of here:
///
/// - One run of an agent in a thread at a time. Another one waits for it, in this process in the order in which they came, and goes on
///   with what it left; no run of another agent or thread waits for either.
/// - What it resumes is decided in the commit that begins it, by provider, runtime and generation.
/// - Its lease is renewed while it runs. When that is not possible any more, it is [told](super::Run::stopped), and dropped when
///   the lease ends.
/// - Its pointer moves when it is confirmed, in one commit with what the closure [writes](super::Finished::writing), and never to a
///   session that it has not [learned](super::Run::learned).
/// - It ends, whatever happens: an error and a panic are a failure, a drop is a cancellation.
/// - It is made again, once and with a fresh session, where the closure says that its session
///   [was refused](super::RunFailure::session_refused) and no [tool has run](super::Run::tool_ran). Never for anything else.
///
/// ```no_run
/// use throughline_core::{
///     NewMessage, Persistence,
///     messages::Add,
///     sessions::{Claimer, Runtime},
/// };
/// use throughline_session_runs::{Finished, SessionRunner};
///
/// # async fn example(db: Persistence) -> Result<(), Box<dyn std::error::Error>> {
/// let runner = SessionRunner::new(db.clone());
/// let claimer = Claimer::new("claude".parse()?, Runtime::new("laptop".parse()?, "root-1".parse()?));
/// let place = db.agent("coder").on("telegram:42");
/// let thread = place.thread()?.clone();
/// let ran = runner
///     .prepare(place.run(claimer)?)
///     .run(|run| {
///         let thread = thread.clone();
///         async move {
///             if let Some(gap) = run.gap() {
///                 println!("(the agent does not remember: {})", gap.reason);
///             }
///             // … start the agent with `run.session()` in `run.work_dir()`, and read which session it says it runs …
///             run.learned("session-7".parse()?).await?;
///             let answer = NewMessage::assistant("Done.");
///             Ok(Finished::new(()).writing(Add::new(thread, answer)))
///         }
///     })
///     .await?;
/// assert!(ran.changed.moved);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct SessionRunner {
    db: Persistence,
    wait: Duration,
    grace: Duration,
}

impl SessionRunner {
    /// How long a run waits for the one before it, where nothing else is said: ten minutes.
    pub const DEFAULT_WAIT: Duration = Duration::from_secs(600);

    /// How long a closure has when it is told to stop, where nothing else is said: five seconds.
    pub const DEFAULT_GRACE: Duration = Duration::from_secs(5);

    /// A runner over this store. All runners over one pipeline share their lines, whichever handle they were made of.
    #[must_use]
    pub const fn new(db: Persistence) -> Self {
        Self { db, wait: Self::DEFAULT_WAIT, grace: Self::DEFAULT_GRACE }
    }

    /// How long a run waits for others to end before it gives up as [`Busy`](throughline_core::ErrorKind::Busy).
    #[must_use]
    pub const fn waiting(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// How long a closure has to put things away when it is told to stop, before it is dropped. A run whose lease ends has no longer
    /// than that: a sixth of the lease.
    #[must_use]
    pub const fn with_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Prepares a run as [`AgentThread::run`](throughline_core::sessions::AgentThread::run) makes it, with its generation, its lease and all that it says:
    /// nothing happens before [`PreparedRun::run`].
    pub fn prepare<'a>(&self, begin: BeginRun) -> PreparedRun<'a> {
        PreparedRun::new(self.db.clone(), begin, self.wait, self.grace)
    }
}
