use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll},
    time::{Duration, Instant},
};

use tower_service::Service;

use super::{ArgsRequest, ChangeFeed, ReadRequest, Request, Thread, ThreadRequest, request::Options};
use crate::change::CommitNotifications;
use crate::pipeline::{LiveDrafts, Task};
use crate::{
    Builder, Effect, InvalidId, NewThread, OpKind, Operation, PersistArgs, PersistError, PersistResponse,
    Position, ReadArgs, Result, TenantId, ThreadId, Timestamp,
    change::ChangeScope,
    context::{Context, Credential, Facts, FeedScopes, Idempotency, Shape},
    operation::{
        Batch, CreateThread, FindMessages, ListTenants, ListThreads, OperationOf, SearchMessages, ThreadArgs,
    },
    pipeline::{Core, Description, Execution, InFlight, InFlightGuard, Keyless},
};

/// A handle to a pipeline: the layers and the store behind them. All reads and writes go through a handle.
///
/// A clone is another handle to the same pipeline, and it is cheap. Each handle belongs to one tenant: the default
/// tenant, or the one that [`for_tenant`](Self::for_tenant) sets. Methods such as [`thread`](Self::thread) and
/// [`agent`](Self::agent) return handles with narrower scope, which also are cheap to clone.
///
/// # Calls
/// Methods that return a request, such as [`run`](Self::run), do nothing until the request is awaited. The request
/// sets an idempotency key and a deadline. A deadline limits the time of the caller: a write that the store has
/// received continues after the deadline. The answer is then [`Timeout`](crate::ErrorKind::Timeout), and its
/// [`Effect`](crate::Effect) states what is known about the write.
///
/// # Cancel safety
/// Dropping a request before the pipeline hands the call to the backend cancels the call. After that, a write
/// continues; see [`Request`].
///
/// # End of the pipeline
/// Call [`close`](Self::close) before the process ends: it completes the calls in flight and releases the store.
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
    /// Set in the handle of a task that `close` waits for: the closing pipeline still admits its calls.
    in_flight_guard: Option<Arc<InFlightGuard>>,
    credential: Option<Credential>,
}

impl Persistence {
    /// Returns a builder for a pipeline.
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
            in_flight_guard: None,
            credential: None,
        }
    }

    /// Returns a handle for another tenant. Its calls neither show nor change data of this handle's tenant.
    #[must_use]
    pub fn for_tenant(&self, tenant: TenantId) -> Self {
        Self { tenant, ..self.clone() }
    }

    /// Returns a handle that acts on behalf of `actor`. Layers find the actor in the context of each call. If the
    /// pipeline has the layer `redact`, that layer removes secrets from the text first.
    #[must_use]
    pub fn with_actor(&self, actor: &str) -> Self {
        Self { actor: Some(self.core.caller_fact(actor)), ..self.clone() }
    }

    /// Returns a handle for one part of the host, such as `webhook`. Layers find the call site in the context of each
    /// call. If the pipeline has the layer `redact`, that layer removes secrets from the text first.
    #[must_use]
    pub fn with_call_site(&self, call_site: &str) -> Self {
        Self { call_site: Some(self.core.caller_fact(call_site)), ..self.clone() }
    }

    /// Returns a handle whose calls carry this credential instead of an earlier one. A layer of the pipeline checks
    /// the credential of each call ([`Context::credential`](crate::Context::credential)) and accepts it. If no layer
    /// accepts it, the call fails as [`Denied`](crate::ErrorKind::Denied). The layer `scope` expects a `Capability`;
    /// a layer of the host can use a type of its own.
    #[must_use]
    pub fn with_credential<T: Send + Sync + 'static>(&self, credential: T) -> Self {
        Self { credential: Some(Credential::new(credential)), ..self.clone() }
    }

    /// Returns the credential of this handle, if it has one of type `T`.
    #[must_use]
    pub fn credential<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.credential.as_ref()?.get()
    }

    /// Returns a handle with this deadline for each call, unless the call sets its own. It replaces the deadline of
    /// the [builder](Builder::deadline).
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self { deadline: Some(deadline), ..self.clone() }
    }

    /// Returns the tenant of this handle.
    #[must_use]
    pub const fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// Returns a handle to a thread. The thread need not exist. An invalid id fails the first call on the handle as
    /// [`Invalid`](crate::ErrorKind::Invalid).
    pub fn thread<I>(&self, id: I) -> Thread
    where
        I: TryInto<ThreadId>,
        I::Error: Into<InvalidId>,
    {
        Thread::new(self.clone(), id.try_into().map_err(Into::into))
    }

    /// Runs an operation on messages. Use [`on_thread`](Self::on_thread), [`on_session`](Self::on_session),
    /// [`on_consumer`](Self::on_consumer) and [`read`](Self::read) for the other families of operations.
    pub fn run<O: Operation>(&self, operation: O) -> Request<O> {
        Request::new(self.clone(), Ok(operation))
    }

    /// Runs any operation, and returns its untyped answer with its receipt. It is for a host that learns the operation at run
    /// time, such as a server or a binding for another language.
    ///
    /// ```
    /// # use throughline_core::{Persistence, PersistArgs, PersistResult, Result};
    /// # async fn example(db: &Persistence) -> Result<()> {
    /// let json = r#"{"add":{"thread":"t","id":"m-1","role":"user","content":[{"type":"text","text":"hello"}]}}"#;
    /// let args: PersistArgs = serde_json::from_str(json).expect("the wire format");
    /// let response = db.run_args(args).key("webhook-17").await?;
    /// assert!(matches!(response.result, PersistResult::Add(_)));
    /// # Ok(())
    /// # }
    /// ```
    pub fn run_args(&self, args: PersistArgs) -> ArgsRequest {
        ArgsRequest::new(self.clone(), args)
    }

    /// Runs an operation on a thread as a whole. [`Thread`] has a method for each of the common ones.
    pub fn on_thread<T: OperationOf<ThreadArgs>>(&self, operation: T) -> ThreadRequest<T> {
        ThreadRequest::new(self.clone(), Ok(operation))
    }

    /// Creates a thread without messages. The first write to a thread also creates it; this operation additionally
    /// sets its title, owner, labels and metadata.
    ///
    /// Without an id in `thread`, the answer contains a new one. An idempotency key is scoped to the thread, so a
    /// repeatable call must set the id.
    pub fn create_thread(&self, thread: NewThread) -> ThreadRequest<CreateThread> {
        self.on_thread(CreateThread::new(thread))
    }

    /// Lists threads: by activity, the latest first, or in the order that the list
    /// [names](crate::threads::ListThreads::ordered_by).
    ///
    /// ```no_run
    /// use throughline_core::{Persistence, threads::ListThreads};
    ///
    /// # async fn example(db: Persistence) -> throughline_core::Result<()> {
    /// let list = db.threads(ListThreads::new(50)).await?;
    /// for entry in &list.threads {
    ///     println!("{} ({} messages) {}", entry.title, entry.messages, entry.preview.as_deref().unwrap_or(""));
    /// }
    /// if let Some(next) = list.next {
    ///     let more = db.threads(ListThreads::new(50).after(next)).await?;
    ///     println!("{} more", more.threads.len());
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

    /// Searches the messages of all threads of the tenant for words. [`SearchMessages::in_thread`] limits the search
    /// to one thread. The store must claim a full-text index ([`Capabilities::search`](crate::Capabilities::search)).
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

    /// Finds messages of the tenant by a metadata field that the host declared as indexed when it opened the store
    /// ([`Capabilities::indexed_metadata`](crate::Capabilities::indexed_metadata)).
    ///
    /// ```no_run
    /// use throughline_core::{Persistence, messages::FindMessages};
    ///
    /// # async fn example(db: Persistence) -> throughline_core::Result<()> {
    /// let mut find = FindMessages::new("orderId", "A-17", 20);
    /// loop {
    ///     let page = db.find(find.clone()).await?;
    ///     for message in &page.messages {
    ///         println!("{} {}", message.thread, message.id);
    ///     }
    ///     let Some(next) = page.next else { break };
    ///     find = find.after(next);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `Unsupported` for a field that is not declared. `Busy` while the store builds the index of a new field.
    pub fn find(&self, find: FindMessages) -> ReadRequest<FindMessages> {
        self.read(find)
    }

    /// Returns a feed of the changes after a position, including future ones: see [`ChangeFeed`].
    pub fn changes(&self, scope: ChangeScope, after: Position) -> ChangeFeed {
        ChangeFeed::new(self.clone(), self.commit_notifications(), scope, after)
    }

    /// Applies several writes in one commit, or none of them.
    pub fn batch(&self, batch: Batch) -> Request<Batch> {
        self.run(batch)
    }

    /// Runs a read.
    pub fn read<R: OperationOf<ReadArgs>>(&self, read: R) -> ReadRequest<R> {
        ReadRequest::new(self.clone(), Ok(read))
    }

    /// Returns the resolved list of layers and the backend.
    #[must_use]
    pub fn describe(&self) -> &Description {
        &self.core.description
    }

    /// Returns the current time, by the clock of the pipeline.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.core.clock.now()
    }

    /// Closes the pipeline: refuses further calls, waits for every call in flight, and closes the backend. Calls in
    /// flight include detached writes, whose callers no longer wait. A repeated call, from any handle, waits for the
    /// same end and does nothing else.
    ///
    /// Text that a [`Draft`](crate::Draft) has buffered and not written yet is not in flight: its write is refused.
    /// Finish or flush each draft first.
    ///
    /// It waits without a limit. A call in flight without a deadline, a disk that hangs or a server that does not answer
    /// can hold it up as long as they last. There is no default limit, because a host relies on the end: it then opens the file
    /// again, moves it or removes it, and a store that still writes would damage it. A host that has to end in any case
    /// calls [`close_within`](Self::close_within), and ends its process after a `Timeout`.
    ///
    /// # Cancel safety
    /// A task on the runtime of the pipeline closes it, whether or not a caller waits: dropping the future does not
    /// stop it. If that runtime has ended, its calls have ended with it, and the runtime of the caller closes the
    /// backend.
    ///
    /// # Errors
    /// The error of the backend. [`Denied`](crate::ErrorKind::Denied) if this handle has a credential.
    /// [`Cancelled`](crate::ErrorKind::Cancelled) if the runtime ended before the backend was closed: the last handle
    /// then releases its resources, and no acknowledged write is lost. Also `Cancelled`, with no effect, if the
    /// runtime of the pipeline has ended and the caller has no tokio runtime.
    pub async fn close(&self) -> Result<()> {
        if self.credential.is_some() {
            let detail = "a handle that has a credential cannot close the pipeline";
            let denied = PersistError::new(crate::ErrorKind::Denied, detail);
            return Err(denied.with_effect(crate::Effect::NotApplied).or_at(Some(&crate::Site::Edge)));
        }
        self.core.close().await
    }

    /// [Closes](Self::close) the pipeline and waits at most `limit`, for a host that must end although a disk or
    /// server hangs.
    ///
    /// # Cancel safety
    /// Closing continues after `limit`, and also after this future is dropped. Every acknowledged write is in the
    /// store in any case. The calls that the error counts get no answer before the process ends.
    ///
    /// # Errors
    /// [`Timeout`](crate::ErrorKind::Timeout) if the store is not closed within `limit`. The error names the number
    /// of calls in flight, and what the backend waits for, if it knows. Otherwise the errors of
    /// [`close`](Self::close).
    ///
    /// # Panics
    /// Panics outside of a tokio runtime, and on a runtime without a timer.
    pub async fn close_within(&self, limit: std::time::Duration) -> Result<()> {
        if let Ok(closed) = tokio::time::timeout(limit, self.close()).await {
            return closed;
        }
        let detail = format!("the store was not closed within {limit:?}: {}", self.core.waits_in());
        let late = PersistError::new(crate::ErrorKind::Timeout, detail).with_effect(crate::Effect::Unknown);
        Err(late.or_at(Some(&crate::Site::Edge)))
    }

    /// Runs a call of this handle, which the call consumes: a clone that only one call needs gives it what it owns.
    pub(super) fn execute(self, args: PersistArgs, mut options: Options) -> Execution {
        let deadline = self.deadline_of(&options);
        let key = match options.key.take() {
            Some(key) => Ok(Some(key)),
            None => self.core.auto_key.derive(self.keyless(&args)),
        };
        let (core, let_in_by, mut facts) = self.into_facts(deadline, options.feed_scopes);
        match key {
            Ok(None) => {}
            Ok(Some(key)) => {
                let fingerprint = core.fingerprint(&args);
                facts.idempotency = Some(Idempotency { key, fingerprint });
            }
            Err(error) => return core.refuse(facts, Shape::of(&args), error),
        }
        core.execute(facts, args, let_in_by)
    }

    /// Answers a call that cannot be made, such as a call with an invalid id.
    pub(super) fn refuse(self, kind: OpKind, error: PersistError) -> Execution {
        let error = error.with_effect(Effect::NotApplied);
        let deadline = self.deadline_from_now();
        let (core, _, facts) = self.into_facts(deadline, None);
        core.refuse(facts, Shape::of_none(kind), error)
    }

    /// Returns the pipeline, the guard that admits the call while the pipeline closes, and the facts of the call.
    fn into_facts(
        self,
        deadline: Option<Instant>,
        feed_scopes: Option<Arc<FeedScopes>>,
    ) -> (Arc<Core>, Option<Arc<InFlightGuard>>, Facts) {
        let Self { core, tenant, actor, call_site, deadline: _, in_flight_guard, credential } = self;
        let facts = Facts { tenant, actor, call_site, idempotency: None, deadline, credential, feed_scopes };
        (core, in_flight_guard, facts)
    }

    /// Returns the deadline of a call with these options. A deadline beyond the range of `Instant` counts as none.
    fn deadline_of(&self, options: &Options) -> Option<Instant> {
        options.until.or_else(|| match options.deadline {
            Some(after) => Instant::now().checked_add(after),
            None => self.deadline_from_now(),
        })
    }

    /// Returns the deadline of a call that begins now, if this handle has one.
    pub(super) fn deadline_from_now(&self) -> Option<Instant> {
        self.deadline.and_then(|after| Instant::now().checked_add(after))
    }

    /// Returns the open messages that a draft of this pipeline is writing.
    pub(super) fn live_drafts(&self) -> &LiveDrafts {
        &self.core.drafts
    }

    fn keyless<'a>(&'a self, args: &'a PersistArgs) -> Keyless<'a> {
        let (actor, call_site) = (self.actor.as_deref(), self.call_site.as_deref());
        Keyless { args, tenant: &self.tenant, actor, call_site }
    }

    /// Spawns a task that `close` waits for. The closing pipeline still admits the calls of the handle that the task
    /// gets. Does nothing if the pipeline is already closing.
    pub(super) fn detach<F>(&self, task: impl FnOnce(Self) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let Some(in_flight_guard) = self.core.in_flight().enter() else { return };
        drop(self.spawn(task(Self { in_flight_guard: Some(Arc::new(in_flight_guard)), ..self.clone() })));
    }

    /// Returns the calls in flight and the runtime of the pipeline.
    pub(super) fn in_flight(&self) -> &InFlight {
        self.core.in_flight()
    }

    /// Spawns a task on the runtime of the pipeline. [`close`](Self::close) does not wait for the task. The task
    /// keeps the pipeline alive only while it holds a handle.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> Task {
        Task::new(self.core.spawn(task))
    }

    /// Returns the value of type `T` that all handles of this pipeline share, for all tenants. The first call creates it
    /// with `T::default()`, and the pipeline keeps it as long as a handle exists.
    ///
    /// A crate that coordinates work between handles keeps its queue or registry here. Use a private type, so that no
    /// other crate gets the value. The value must not contain a `Persistence`: the pipeline would never be dropped.
    ///
    /// ```
    /// # use throughline_core::{Admitted, Backend, Capabilities, Durability};
    /// # struct Nowhere;
    /// # impl Backend for Nowhere {
    /// #     fn name(&self) -> &str { "nowhere" }
    /// #     fn capabilities(&self) -> Capabilities { Capabilities::new(Durability::Volatile) }
    /// # }
    /// use throughline_core::{Persistence, ThreadId, keyed_queue::KeyedQueue};
    ///
    /// #[derive(Default)]
    /// struct Exports(KeyedQueue<ThreadId>);
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let db = Persistence::builder().backend(Nowhere).build()?;
    /// let _permit = db.shared_state::<Exports>().0.acquire(["t".parse()?]).await;
    /// let same = db.for_tenant("alice".parse()?).shared_state::<Exports>();
    /// assert_eq!(same.0.len_of(&"t".parse()?), 1);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn shared_state<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        self.core.shared_state.get()
    }

    /// Writes the waiting rejected-call records to the audit log now, without waiting for their interval. Call it
    /// before an anchor that must cover them. Records of applied writes are in the log already. If the records exceed
    /// the [budget](crate::audit::RejectedCallBudget), one record counts the remaining ones.
    ///
    /// # Errors
    /// The error of the store. The pipeline writes the records again after an interval, and when it closes.
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if the pipeline is closed and records wait.
    ///
    /// # Cancel safety
    /// If the future is dropped, the records of the current write wait again. If the store had appended them already,
    /// the log has them twice.
    pub async fn write_audit_records(&self) -> Result<()> {
        self.core.write_records(true).await
    }

    /// Subscribes to the commit notifications of the store. Returns `None` if the backend sends none; a reader then
    /// polls.
    #[must_use]
    pub fn commit_notifications(&self) -> Option<CommitNotifications> {
        (self.core.commit_notifications)()
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// Runs a call on behalf of another call, with its context. The tenant is that of the parent.
    pub(crate) fn execute_child(
        &self,
        parent: &Context,
        args: PersistArgs,
        keep_key: bool,
    ) -> Pin<Box<dyn Future<Output = Result<PersistResponse>> + Send>> {
        self.core.execute_child(parent, args, keep_key)
    }
}

/// A handle is a tower service over the untyped operations, for a tower stack around the pipeline. A call has no idempotency key
/// and the deadline of the handle: see [`run_args`](Persistence::run_args). The handle is always ready; backpressure delays the call itself.
impl Service<PersistArgs> for Persistence {
    type Response = PersistResponse;
    type Error = PersistError;
    type Future = Pin<Box<dyn Future<Output = Result<PersistResponse>> + Send>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, args: PersistArgs) -> Self::Future {
        Box::pin(self.clone().execute(args, Options::default()))
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
