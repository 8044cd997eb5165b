use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll},
    time::{Duration, Instant},
};

use tower_service::Service;

use super::{ChangeFeed, ReadRequest, Request, Thread, ThreadRequest, request::Options};
use crate::change::CommitNotifications;
use crate::pipeline::{LiveDrafts, RunQueue, Task};
use crate::{
    Builder, Effect, InvalidId, NewThread, OpKind, Operation, PersistArgs, PersistError, PersistResponse,
    Position, ReadArgs, Result, TenantId, ThreadId, Timestamp,
    change::ChangeScope,
    context::{Context, Credential, Facts, Idempotency, Shape},
    operation::{Batch, CreateThread, ListTenants, ListThreads, OperationOf, SearchMessages, ThreadArgs},
    pipeline::{Core, Description, Execution, InFlight, Keyless, Ticket},
};

/// A store with everything that stands before it: the only way to read and write.
///
/// A clone is another handle on the same pipeline. A handle is bound to a tenant, the default one unless
/// [`for_tenant`](Self::for_tenant) says otherwise.
///
/// ```
/// # use throughline_core::{Admitted, Backend, Capabilities, Durability};
/// # struct Nowhere;
/// # impl Backend for Nowhere {
/// #     fn name(&self) -> &str { "nowhere" }
/// #     fn capabilities(&self) -> Capabilities { Capabilities::new(Durability::Volatile) }
/// # }
/// use throughline_core::Persistence;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> throughline_core::Result<()> {
/// let db = Persistence::builder().backend(Nowhere).build()?;
/// let alice = db.for_tenant("alice".parse()?).with_actor("alice@web");
/// assert_eq!(alice.tenant().as_str(), "alice");
/// db.close().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Persistence {
    core: Arc<Core>,
    tenant: TenantId,
    actor: Option<Arc<str>>,
    call_site: Option<Arc<str>>,
    deadline: Option<Duration>,
    /// Of a task that `close` waits for: the calls of this handle are let in while the pipeline closes.
    ticket: Option<Arc<Ticket>>,
    credential: Option<Credential>,
}

impl Persistence {
    /// Begins to compose a pipeline.
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(crate) fn new(core: Core, deadline: Option<Duration>) -> Self {
        Self {
            core: Arc::new(core),
            tenant: TenantId::default(),
            actor: None,
            call_site: None,
            deadline,
            ticket: None,
            credential: None,
        }
    }

    /// A handle for another tenant. Nothing that it does shows or changes anything of this one's.
    #[must_use]
    pub fn for_tenant(&self, tenant: TenantId) -> Self {
        Self { tenant, ..self.clone() }
    }

    /// A handle that acts on behalf of `actor`, as layers see in the context of each call. A pipeline with the layer `redact`
    /// hides the secrets in it.
    #[must_use]
    pub fn with_actor(&self, actor: &str) -> Self {
        Self { actor: Some(self.core.caller_fact(actor)), ..self.clone() }
    }

    /// A handle for one part of the host, as layers see in the context of each call. A pipeline with the layer `redact` hides
    /// the secrets in it.
    #[must_use]
    pub fn with_call_site(&self, call_site: &str) -> Self {
        Self { call_site: Some(self.core.caller_fact(call_site)), ..self.clone() }
    }

    /// A handle whose calls have this credential, in place of an earlier one. A guard in the pipeline checks it against each
    /// call ([`Context::credential`](crate::Context::credential)) and accepts it; a call whose credential no layer has accepted
    /// is refused as [`Denied`](crate::ErrorKind::Denied). The layer `scope` takes a `Capability`; a guard of a host's own takes
    /// a type of its own.
    #[must_use]
    pub fn with_credential<T: Send + Sync + 'static>(&self, credential: T) -> Self {
        Self { credential: Some(Credential::new(credential)), ..self.clone() }
    }

    /// The credential of this handle, where it has one of this type.
    #[must_use]
    pub fn credential<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.credential.as_ref()?.get()
    }

    /// A handle whose calls are waited for this long, where a call says nothing else.
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self { deadline: Some(deadline), ..self.clone() }
    }

    /// The tenant of this handle.
    #[must_use]
    pub const fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// A conversation. An unusable id is answered by the first call made on it, as
    /// [`Invalid`](crate::ErrorKind::Invalid).
    pub fn thread<I>(&self, id: I) -> Thread
    where
        I: TryInto<ThreadId>,
        I::Error: Into<InvalidId>,
    {
        Thread::new(self.clone(), id.try_into().map_err(Into::into))
    }

    /// Any operation on messages, typed. Those on a thread as a whole, on sessions, of a consumer, and reads go by
    /// [`on_thread`](Self::on_thread), [`on_session`](Self::on_session), [`on_consumer`](Self::on_consumer) and [`read`](Self::read).
    pub fn run<O: Operation>(&self, operation: O) -> Request<O> {
        Request::new(self.clone(), Ok(operation))
    }

    /// Something that is done to a thread as a whole, typed. A [`Thread`] has the same by name.
    pub fn on_thread<T: OperationOf<ThreadArgs>>(&self, operation: T) -> ThreadRequest<T> {
        ThreadRequest::new(self.clone(), Ok(operation))
    }

    /// Creates a thread that has no message yet. A thread also exists from its first write; this says more about it.
    ///
    /// Where no id is named, the answer says which one was minted. An idempotency key is scoped to the thread: to be able to
    /// make the same call again, name the id.
    pub fn create_thread(&self, thread: NewThread) -> ThreadRequest<CreateThread> {
        self.on_thread(CreateThread::new(thread))
    }

    /// Lists threads, the latest active first.
    ///
    /// ```no_run
    /// use throughline_core::{Persistence, threads::ListThreads};
    ///
    /// # async fn example(db: Persistence) -> throughline_core::Result<()> {
    /// let list = db.threads(ListThreads::new(50)).await?;
    /// for entry in &list.entries {
    ///     println!("{} ({} messages) {}", entry.title, entry.messages, entry.preview.as_deref().unwrap_or(""));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn threads(&self, list: ListThreads) -> ReadRequest<ListThreads> {
        self.read(list)
    }

    /// Lists the tenants of the store, up to `limit` of them after `after`: 1 to [`ReadPage::MAX_LIMIT`](crate::messages::ReadPage::MAX_LIMIT).
    /// The list includes every tenant for which a thread was ever created. A page with fewer than `limit` tenants is the last one.
    ///
    /// A host lists the tenants to run its background work for each of them:
    ///
    /// ```
    /// use throughline_core::{Persistence, Result};
    ///
    /// async fn recover_drafts_and_free_space(db: &Persistence) -> Result<()> {
    ///     let mut after = None;
    ///     loop {
    ///         let page = db.tenants(after, 100).await?.tenants;
    ///         for tenant in &page {
    ///             let db = db.for_tenant(tenant.clone());
    ///             let recovered = db.recover_expired_drafts("the lease expired").await?;
    ///             println!("{tenant}: {} drafts", recovered.abandoned.len());
    ///             db.purge().await?;
    ///         }
    ///         after = page.last().cloned();
    ///         if page.len() < 100 {
    ///             return Ok(());
    ///         }
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// `Invalid` if `limit` is out of range. `Denied` by the layer `scope` if the capability does not cover the whole store.
    pub fn tenants(&self, after: Option<TenantId>, limit: u32) -> ReadRequest<ListTenants> {
        self.read(ListTenants { after, limit })
    }

    /// Looks for messages with certain words, in every thread of the tenant; one thread is named by
    /// [`SearchMessages::in_thread`].
    ///
    /// ```no_run
    /// use throughline_core::{Persistence, search::SearchMessages};
    ///
    /// # async fn example(db: Persistence) -> throughline_core::Result<()> {
    /// for hit in db.search(SearchMessages::new("lisbon train*", 20)).await?.hits {
    ///     println!("{} {}: {}", hit.thread, hit.seq, hit.snippet);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn search(&self, search: SearchMessages) -> ReadRequest<SearchMessages> {
        self.read(search)
    }

    /// Follows the changes after a position, the ones to come included: see [`ChangeFeed`].
    pub fn changes(&self, scope: ChangeScope, after: Position) -> ChangeFeed {
        ChangeFeed::new(self.clone(), self.commit_notifications(), scope, after)
    }

    /// Several writes as one, all or nothing.
    pub fn batch(&self, batch: Batch) -> Request<Batch> {
        self.run(batch)
    }

    /// Any read, typed.
    pub fn read<R: OperationOf<ReadArgs>>(&self, read: R) -> ReadRequest<R> {
        ReadRequest::new(self.clone(), Ok(read))
    }

    /// The resolved chain.
    #[must_use]
    pub fn describe(&self) -> &Description {
        &self.core.description
    }

    /// The present moment by the clock of the pipeline.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.core.clock.now()
    }

    /// Refuses further calls, waits until every call in flight has ended, the ones that their callers left included,
    /// and closes the backend. Closing again, from any handle, waits likewise and does nothing more.
    ///
    /// What a [`Draft`](crate::Draft) has taken over and not written yet is in flight nowhere, and is refused afterwards: finish or flush
    /// what streams before.
    ///
    /// It is done by a task on the runtime that the pipeline was built on, whether or not its caller waits. Where that runtime has
    /// ended, what it was running has ended with it, and the runtime of the caller closes.
    ///
    /// # Errors
    /// What the backend answers when it closes. [`Cancelled`](crate::ErrorKind::Cancelled) where the runtime ended meanwhile, and
    /// what the backend holds is let go with the last handle; nothing that was acknowledged is lost by that. So, and with
    /// nothing done, where it has ended and the caller has none. [`Denied`](crate::ErrorKind::Denied) where this handle has a credential.
    pub async fn close(&self) -> Result<()> {
        if self.credential.is_some() {
            let detail = "a handle that has a credential cannot close the pipeline";
            let denied = PersistError::new(crate::ErrorKind::Denied, detail);
            return Err(denied.with_effect(crate::Effect::NotApplied).or_at(Some(&crate::Site::Edge)));
        }
        self.core.close().await
    }

    /// [Closes](Self::close), and waits for that no longer than `limit`: for a host that has to end while the disk or the
    /// server hangs.
    ///
    /// Closing goes on when the time is over, as it does when its caller leaves. Every write that was acknowledged is in the store
    /// either way; the calls that the error counts are not answered.
    ///
    /// # Errors
    /// [`Timeout`](crate::ErrorKind::Timeout) when the store is not closed by then. The error says how many calls are in flight, and what
    /// the backend waits for, if it knows. What [`close`](Self::close) answers otherwise.
    ///
    /// # Panics
    /// Outside of a tokio runtime, and on one without a timer.
    pub async fn close_within(&self, limit: std::time::Duration) -> Result<()> {
        if let Ok(closed) = tokio::time::timeout(limit, self.close()).await {
            return closed;
        }
        let detail = format!("the store was not closed within {limit:?}: {}", self.core.waits_in());
        let late = PersistError::new(crate::ErrorKind::Timeout, detail).with_effect(crate::Effect::Unknown);
        Err(late.or_at(Some(&crate::Site::Edge)))
    }

    pub(super) fn execute(&self, args: PersistArgs, options: Options) -> Execution {
        let mut facts = self.facts(&options);
        let key = match options.key {
            Some(key) => Some(key),
            None => match self.core.auto_key.derive(self.keyless(&args)) {
                Ok(key) => key,
                Err(error) => return self.core.refuse(facts, Shape::of(&args), error),
            },
        };
        facts.idempotency = key.map(|key| {
            let fingerprint = self.core.fingerprint(&args);
            Idempotency { key, fingerprint }
        });
        self.core.execute(facts, args).let_in_by(self.ticket.clone())
    }

    /// A call of this kind that cannot be made, such as one on a handle of an unusable id.
    pub(super) fn refuse(&self, kind: OpKind, error: PersistError) -> Execution {
        let error = error.with_effect(Effect::NotApplied);
        self.core.refuse(self.facts(&Options::default()), Shape::of_none(kind), error)
    }

    fn facts(&self, options: &Options) -> Facts {
        // A deadline too far off to be told is none.
        let deadline = options.until.or_else(|| match options.deadline {
            Some(after) => Instant::now().checked_add(after),
            None => self.deadline_from_now(),
        });
        Facts {
            tenant: self.tenant.clone(),
            actor: self.actor.clone(),
            call_site: self.call_site.clone(),
            idempotency: None,
            deadline,
            credential: self.credential.clone(),
        }
    }

    /// When a call that begins now is answered at the latest, where this handle says so.
    pub(super) fn deadline_from_now(&self) -> Option<Instant> {
        self.deadline.and_then(|after| Instant::now().checked_add(after))
    }

    /// The drafts of this pipeline that are held.
    pub(super) fn live_drafts(&self) -> &LiveDrafts {
        &self.core.drafts
    }

    fn keyless<'a>(&'a self, args: &'a PersistArgs) -> Keyless<'a> {
        let (actor, call_site) = (self.actor.as_deref(), self.call_site.as_deref());
        Keyless { args, tenant: &self.tenant, actor, call_site }
    }

    /// Runs a task that `close` waits for, with a handle whose calls are let in meanwhile. Nothing once the pipeline is closing.
    pub(super) fn detach<F>(&self, task: impl FnOnce(Self) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let Some(ticket) = self.core.in_flight().enter() else { return };
        drop(self.spawn(task(Self { ticket: Some(Arc::new(ticket)), ..self.clone() })));
    }

    /// The calls of the pipeline that have begun and not ended, and the runtime that they have.
    pub(super) fn in_flight(&self) -> &InFlight {
        self.core.in_flight()
    }

    /// Runs a task on the runtime of the pipeline. The task holds the pipeline open only where it holds a handle;
    /// [`close`](Self::close) does not wait for it.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> Task {
        Task::new(self.core.spawn(task))
    }

    /// The runs of agents that wait for each other.
    pub(crate) fn run_queue(&self) -> &RunQueue {
        &self.core.runs
    }

    /// Writes the audit records of rejected calls that are waiting, whether or not their interval is over: before an anchor
    /// that is to cover them. Entries of applied writes are in the log already. Records that the
    /// [budget](crate::audit::RejectedCallBudget) has no room for become one entry that counts them.
    ///
    /// # Errors
    /// The error of the store that refuses the records. The pipeline writes them again after an interval, and when it is closed.
    /// [`Unavailable`](crate::ErrorKind::Unavailable) where records wait in a pipeline that is closed.
    ///
    /// # Cancel safety
    /// The records that it was writing wait again. Where the store had taken them already, they are written twice.
    pub async fn write_audit_records(&self) -> Result<()> {
        self.core.write_records(true).await
    }

    /// Subscribes to the commit notifications of the store. `None` where the backend sends none: a reader polls then.
    #[must_use]
    pub fn commit_notifications(&self) -> Option<CommitNotifications> {
        (self.core.commit_notifications)()
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// Makes a call on behalf of another, under its promises. Its tenant is the parent's.
    pub(crate) fn execute_child(
        &self,
        parent: &Context,
        args: PersistArgs,
        keep_key: bool,
    ) -> Pin<Box<dyn Future<Output = Result<PersistResponse>> + Send>> {
        self.core.execute_child(parent, args, keep_key)
    }
}

/// A handle as a service over the erased form, for a tower stack of the host's outside the pipeline. Always ready:
/// back-pressure is waiting in the call.
impl Service<PersistArgs> for Persistence {
    type Response = PersistResponse;
    type Error = PersistError;
    type Future = Pin<Box<dyn Future<Output = Result<PersistResponse>> + Send>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, args: PersistArgs) -> Self::Future {
        Box::pin(self.execute(args, Options::default()))
    }
}

impl fmt::Debug for Persistence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Persistence")
            .field("tenant", &self.tenant)
            .field("pipeline", &self.core)
            .finish_non_exhaustive()
    }
}
