use super::{Persistence, ReadRequest, SessionRequest, request::refused};
use crate::{
    AgentId, InvalidId, OpKind, Result, ThreadId,
    id::{AttemptId, RuntimeId, SessionId, WorkDir},
    operation::{
        BackfillRuntime, BeginRun, CancelRun, ClearPointerIf, ConfirmRun, DropAgent, DropRuntime, FailRun,
        ListAttempts, OperationOf, PinSession, RenewRun, ResetAgent, ResetSession, ResolveSession,
        RetireSession, RunReport, SessionArgs,
    },
    session::{Claimer, Failure, HandOff, Runtime},
};

/// A handle to the sessions of one agent of the tenant.
///
/// ```no_run
/// use throughline_core::{Persistence, sessions::{Claimer, RunReport, Runtime}};
///
/// # async fn example(db: Persistence) -> Result<(), Box<dyn std::error::Error>> {
/// let agent = db.agent("coder").on("telegram:42");
/// let claimer = Claimer::new("claude".parse()?, Runtime::new("laptop".parse()?, "root-1".parse()?));
/// let run = agent.begin(agent.run(claimer)?).await?;
/// if run.resolution.gap.is_some() {
///     println!("(the agent does not remember the earlier messages)");
/// }
/// // … resume `run.resolution.session`, or begin a fresh session, in `run.resolution.work_dir` …
/// agent.confirm(run.attempt, RunReport::of("session-7".parse()?)).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Agent {
    db: Persistence,
    id: Result<AgentId, InvalidId>,
}

impl Agent {
    fn with_id<T>(&self, make: impl FnOnce(AgentId) -> T) -> Result<T> {
        match &self.id {
            Ok(id) => Ok(make(id.clone())),
            Err(error) => Err(refused(error)),
        }
    }

    /// Returns a handle to the sessions of the agent in a thread. An invalid id fails the first call on the handle as
    /// [`Invalid`](crate::ErrorKind::Invalid).
    pub fn on<I>(&self, thread: I) -> AgentThread
    where
        I: TryInto<ThreadId>,
        I::Error: Into<InvalidId>,
    {
        AgentThread { agent: self.clone(), thread: thread.try_into().map_err(Into::into), origin: None }
    }

    /// Returns a handle for runs outside of any thread. Each call creates a new scope, which no other handle can name.
    #[must_use]
    pub fn isolated(&self) -> AgentThread {
        AgentThread { agent: self.clone(), thread: Ok(ThreadId::mint()), origin: None }
    }

    /// Returns a handle for work that another agent hands to this one. It belongs to the thread of that work, and its runs record
    /// the origin.
    #[must_use]
    pub fn handed_off(&self, origin: HandOff) -> AgentThread {
        AgentThread { agent: self.clone(), thread: Ok(origin.thread.clone()), origin: Some(origin) }
    }

    /// Begins the next session generation of the agent in every thread.
    pub fn reset_all(&self) -> SessionRequest<ResetAgent> {
        SessionRequest::new(self.db.clone(), self.with_id(|agent| ResetAgent { agent }))
    }

    /// Drops the sessions of the agent. A later agent with the same id resumes none of them. The messages stay.
    pub fn drop_sessions(&self) -> SessionRequest<DropAgent> {
        SessionRequest::new(self.db.clone(), self.with_id(|agent| DropAgent { agent }))
    }
}

/// A handle to the sessions of an agent in a thread: see [`Agent`].
///
/// # Cancel safety
/// Each call is as safe to drop as a [`Request`](crate::handle::Request).
#[derive(Debug, Clone)]
pub struct AgentThread {
    agent: Agent,
    thread: Result<ThreadId, InvalidId>,
    origin: Option<HandOff>,
}

impl AgentThread {
    fn with_ids<T>(&self, make: impl FnOnce(AgentId, ThreadId) -> T) -> Result<T> {
        match &self.thread {
            Ok(thread) => self.agent.with_id(|agent| make(agent, thread.clone())),
            Err(error) => Err(refused(error)),
        }
    }

    fn call<S: OperationOf<SessionArgs>>(
        &self,
        make: impl FnOnce(AgentId, ThreadId) -> S,
    ) -> SessionRequest<S> {
        SessionRequest::new(self.agent.db.clone(), self.with_ids(make))
    }

    /// Returns the thread of the handle.
    ///
    /// # Errors
    /// [`InvalidId`] if the handle was created with an invalid thread id.
    pub fn thread(&self) -> Result<&ThreadId, InvalidId> {
        self.thread.as_ref().map_err(|error| *error)
    }

    /// Reads the session and the directory that this claimer can resume. It takes no lease and delivers no gap.
    pub fn resolve(&self, claimer: Claimer) -> ReadRequest<ResolveSession> {
        let read = self.with_ids(|agent, thread| ResolveSession { agent, thread, claimer });
        ReadRequest::new(self.agent.db.clone(), read)
    }

    /// Lists the latest `limit` runs, the latest first.
    pub fn history(&self, limit: u32) -> ReadRequest<ListAttempts> {
        let read = self.with_ids(|agent, thread| ListAttempts::new(agent, thread, limit));
        ReadRequest::new(self.agent.db.clone(), read)
    }

    /// Returns a run of this claimer, for [`begin`](Self::begin).
    ///
    /// # Errors
    /// `Invalid` if the handle was created with an invalid id.
    pub fn run(&self, claimer: Claimer) -> Result<BeginRun> {
        let run = self.with_ids(|agent, thread| BeginRun::new(agent, thread, claimer));
        let run = run.map_err(|error| error.at_the_edge(OpKind::Session))?;
        Ok(match &self.origin {
            Some(origin) => run.handed_off(origin.clone()),
            None => run,
        })
    }

    /// Begins a run, for the agent and in the thread that `run` names.
    pub fn begin(&self, run: BeginRun) -> SessionRequest<BeginRun> {
        SessionRequest::new(self.agent.db.clone(), Ok(run))
    }

    /// Renews the lease of a run.
    pub fn renew(&self, attempt: AttemptId) -> SessionRequest<RenewRun> {
        self.call(|agent, thread| RenewRun { agent, thread, attempt })
    }

    /// Records the session of an active run, so that a later run can resume it after a crash.
    pub fn pin(
        &self,
        attempt: AttemptId,
        session: SessionId,
        work_dir: Option<WorkDir>,
    ) -> SessionRequest<PinSession> {
        self.call(|agent, thread| PinSession { agent, thread, attempt, session, work_dir })
    }

    /// Returns the operation that confirms a run, for a [`Batch`](crate::operation::Batch) with the end of its message.
    ///
    /// # Errors
    /// `Invalid` if the handle was created with an invalid id.
    pub fn confirmation(&self, attempt: AttemptId, report: RunReport) -> Result<ConfirmRun> {
        let confirm = self.with_ids(|agent, thread| ConfirmRun { agent, thread, attempt, report });
        confirm.map_err(|error| error.at_the_edge(OpKind::Session))
    }

    /// Ends a run with success, and moves the pointer to the reported session.
    pub fn confirm(&self, attempt: AttemptId, report: RunReport) -> SessionRequest<ConfirmRun> {
        self.call(|agent, thread| ConfirmRun { agent, thread, attempt, report })
    }

    /// Ends a run with a failure. To add a detail, use [`FailRun`] with [`Persistence::on_session`].
    pub fn fail(&self, attempt: AttemptId, failure: Failure, report: RunReport) -> SessionRequest<FailRun> {
        self.call(|agent, thread| FailRun::new(agent, thread, attempt, failure).with_report(report))
    }

    /// Ends a run that the host stopped.
    pub fn cancel(&self, attempt: AttemptId, report: RunReport) -> SessionRequest<CancelRun> {
        self.call(|agent, thread| CancelRun { agent, thread, attempt, report })
    }

    /// Begins the next session generation of the agent in this thread.
    pub fn reset(&self) -> SessionRequest<ResetSession> {
        self.call(|agent, thread| ResetSession { agent, thread, expected: None })
    }

    /// Retires a session: no later run resumes it.
    pub fn retire(&self, session: SessionId) -> SessionRequest<RetireSession> {
        self.call(|agent, thread| RetireSession { agent, thread, session })
    }

    /// Clears the pointer if it names this session and this runtime.
    pub fn clear_if(&self, session: SessionId, runtime: Option<Runtime>) -> SessionRequest<ClearPointerIf> {
        self.call(|agent, thread| ClearPointerIf { agent, thread, session, runtime })
    }

    /// Adds the runtime to a pointer that has none, if the runs prove it: see [`BackfillRuntime`]. With `dry_run` it only reports
    /// the result.
    pub fn backfill_runtime(&self, dry_run: bool) -> SessionRequest<BackfillRuntime> {
        self.call(|agent, thread| BackfillRuntime { agent, thread, dry_run })
    }
}

impl Persistence {
    /// Returns a handle to the sessions of an agent. An invalid id fails the first call on the handle as
    /// [`Invalid`](crate::ErrorKind::Invalid).
    pub fn agent<I>(&self, id: I) -> Agent
    where
        I: TryInto<AgentId>,
        I::Error: Into<InvalidId>,
    {
        Agent { db: self.clone(), id: id.try_into().map_err(Into::into) }
    }

    /// Runs an operation on agent sessions. [`AgentThread`] has a method for each of the common ones.
    pub fn on_session<S: OperationOf<SessionArgs>>(&self, operation: S) -> SessionRequest<S> {
        SessionRequest::new(self.clone(), Ok(operation))
    }

    /// Drops a runtime. Pointers to it stay, but no claimer can resume their sessions.
    pub fn drop_runtime(&self, runtime: RuntimeId) -> SessionRequest<DropRuntime> {
        self.on_session(DropRuntime { runtime })
    }
}
