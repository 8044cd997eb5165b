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

/// An agent of the tenant, as far as its sessions go.
///
/// ```no_run
/// use throughline_core::{Persistence, sessions::{Claimer, RunReport, Runtime}};
///
/// # async fn example(db: Persistence) -> Result<(), Box<dyn std::error::Error>> {
/// let place = db.agent("coder").on("telegram:42");
/// let claimer = Claimer::new("claude".parse()?, Runtime::new("laptop".parse()?, "root-1".parse()?));
/// let run = place.begin(place.run(claimer)?).await?;
/// if run.resolution.gap.is_some() {
///     println!("(the agent does not remember what was said before)");
/// }
/// // … resume `run.resolution.session`, or begin a fresh one, in `run.resolution.work_dir` …
/// place.confirm(run.attempt, RunReport::of("session-7".parse()?)).await?;
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

    /// In a thread. An unusable id is answered by the first call, as [`Invalid`](crate::ErrorKind::Invalid).
    pub fn on<I>(&self, thread: I) -> AgentThread
    where
        I: TryInto<ThreadId>,
        I::Error: Into<InvalidId>,
    {
        AgentThread { agent: self.clone(), thread: thread.try_into().map_err(Into::into), origin: None }
    }

    /// In no thread: in a scope of its own that is named by nobody else. Never in the one that was used last.
    #[must_use]
    pub fn isolated(&self) -> AgentThread {
        AgentThread { agent: self.clone(), thread: Ok(ThreadId::mint()), origin: None }
    }

    /// With work that another agent hands it: in the thread that the work came from, which the runs take down.
    #[must_use]
    pub fn handed_off(&self, origin: HandOff) -> AgentThread {
        AgentThread { agent: self.clone(), thread: Ok(origin.thread.clone()), origin: Some(origin) }
    }

    /// Begins another generation of its sessions in every thread.
    pub fn reset_all(&self) -> SessionRequest<ResetAgent> {
        SessionRequest::new(self.db.clone(), self.with_id(|agent| ResetAgent { agent }))
    }

    /// Forgets it: one that is made again under the same id inherits nothing. Conversations stay.
    pub fn drop_sessions(&self) -> SessionRequest<DropAgent> {
        SessionRequest::new(self.db.clone(), self.with_id(|agent| DropAgent { agent }))
    }
}

/// The sessions of an agent in a thread: see [`Agent`].
///
/// # Cancel safety
/// Of each call as of a [`Request`](crate::handle::Request).
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

    /// Its thread.
    ///
    /// # Errors
    /// [`InvalidId`] when the handle was made of an unusable one.
    pub fn thread(&self) -> Result<&ThreadId, InvalidId> {
        self.thread.as_ref().map_err(|error| *error)
    }

    /// Looks what this claimer may go on with. It takes no lease and delivers no gap.
    pub fn resolve(&self, claimer: Claimer) -> ReadRequest<ResolveSession> {
        let read = self.with_ids(|agent, thread| ResolveSession { agent, thread, claimer });
        ReadRequest::new(self.agent.db.clone(), read)
    }

    /// Its latest `limit` runs.
    pub fn history(&self, limit: u32) -> ReadRequest<ListAttempts> {
        let read = self.with_ids(|agent, thread| ListAttempts::new(agent, thread, limit));
        ReadRequest::new(self.agent.db.clone(), read)
    }

    /// A run of this claimer here, to be [begun](Self::begin).
    ///
    /// # Errors
    /// `Invalid` where the handle was made of unusable ids.
    pub fn run(&self, claimer: Claimer) -> Result<BeginRun> {
        let run = self.with_ids(|agent, thread| BeginRun::new(agent, thread, claimer));
        let run = run.map_err(|error| error.at_the_edge(OpKind::Session))?;
        Ok(match &self.origin {
            Some(origin) => run.handed_off(origin.clone()),
            None => run,
        })
    }

    /// Begins a run. One of another agent or thread is begun there: it names both.
    pub fn begin(&self, run: BeginRun) -> SessionRequest<BeginRun> {
        SessionRequest::new(self.agent.db.clone(), Ok(run))
    }

    /// Renews the lease of a run.
    pub fn renew(&self, attempt: AttemptId) -> SessionRequest<RenewRun> {
        self.call(|agent, thread| RenewRun { agent, thread, attempt })
    }

    /// A run says in its midst which session it runs.
    pub fn pin(
        &self,
        attempt: AttemptId,
        session: SessionId,
        work_dir: Option<WorkDir>,
    ) -> SessionRequest<PinSession> {
        self.call(|agent, thread| PinSession { agent, thread, attempt, session, work_dir })
    }

    /// What confirms a run, to be an item of a [`Batch`](crate::operation::Batch) beside the end of its message.
    ///
    /// # Errors
    /// `Invalid` where the handle was made of unusable ids.
    pub fn confirmation(&self, attempt: AttemptId, report: RunReport) -> Result<ConfirmRun> {
        let confirm = self.with_ids(|agent, thread| ConfirmRun { agent, thread, attempt, report });
        confirm.map_err(|error| error.at_the_edge(OpKind::Session))
    }

    /// A run succeeded.
    pub fn confirm(&self, attempt: AttemptId, report: RunReport) -> SessionRequest<ConfirmRun> {
        self.call(|agent, thread| ConfirmRun { agent, thread, attempt, report })
    }

    /// A run failed. With more to say of it: [`Persistence::on_session`].
    pub fn fail(&self, attempt: AttemptId, failure: Failure, report: RunReport) -> SessionRequest<FailRun> {
        self.call(|agent, thread| FailRun::new(agent, thread, attempt, failure).with_report(report))
    }

    /// A run was stopped on purpose.
    pub fn cancel(&self, attempt: AttemptId, report: RunReport) -> SessionRequest<CancelRun> {
        self.call(|agent, thread| CancelRun { agent, thread, attempt, report })
    }

    /// Begins another generation.
    pub fn reset(&self) -> SessionRequest<ResetSession> {
        self.call(|agent, thread| ResetSession { agent, thread, expected: None })
    }

    /// Declares a session unusable for good.
    pub fn retire(&self, session: SessionId) -> SessionRequest<RetireSession> {
        self.call(|agent, thread| RetireSession { agent, thread, session })
    }

    /// Clears the pointer if it still points there.
    pub fn clear_if(&self, session: SessionId, runtime: Option<Runtime>) -> SessionRequest<ClearPointerIf> {
        self.call(|agent, thread| ClearPointerIf { agent, thread, session, runtime })
    }

    /// Writes the runtime into a pointer that names none, where there is evidence; or only says what it would write.
    pub fn backfill_runtime(&self, dry_run: bool) -> SessionRequest<BackfillRuntime> {
        self.call(|agent, thread| BackfillRuntime { agent, thread, dry_run })
    }
}

impl Persistence {
    /// The sessions of an agent. An unusable id is answered by the first call, as [`Invalid`](crate::ErrorKind::Invalid).
    pub fn agent<I>(&self, id: I) -> Agent
    where
        I: TryInto<AgentId>,
        I::Error: Into<InvalidId>,
    {
        Agent { db: self.clone(), id: id.try_into().map_err(Into::into) }
    }

    /// Something that is done to agent sessions, typed. An [`Agent`] has the same by name.
    pub fn on_session<S: OperationOf<SessionArgs>>(&self, operation: S) -> SessionRequest<S> {
        SessionRequest::new(self.clone(), Ok(operation))
    }

    /// Forgets a runtime: pointers to it stay and are offered to nobody.
    pub fn drop_runtime(&self, runtime: RuntimeId) -> SessionRequest<DropRuntime> {
        self.on_session(DropRuntime { runtime })
    }
}
