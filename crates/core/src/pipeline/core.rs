//! A built pipeline, which every handle shares.

use std::{
    fmt,
    future::Future,
    sync::{Arc, PoisonError},
};

use tokio::{
    runtime::Handle,
    sync::{Mutex, watch},
    task::{JoinError, JoinHandle},
    time::sleep_until,
};

use super::{
    Admission, AutoKey, CallerFilter, Description, Execution, InFlight, InFlightGuard, LiveDrafts,
    SharedService, SharedState, admission::AdmissionQueues, audit_trail::AuditTrail, erased::BoxFuture,
    guard::panicked, watch::Watched,
};
use crate::change::CommitNotifications;
use crate::{
    Effect, ErrorKind, PersistArgs, PersistError, PersistRequest, PersistResponse, Result, Site,
    backend::{OwnerProcess, RejectedCallRecords},
    contain::catch_future,
    context::{Clock, Context, Facts, Shape},
    operation::{Fingerprint, FingerprintKey},
};

pub(crate) struct Core {
    /// A forked child process has none of the tasks that close a pipeline.
    owner: OwnerProcess,
    pub(super) stack: SharedService,
    pub(super) sites: Arc<[Site]>,
    pub(super) watched: Watched,
    pub(super) admission: AdmissionQueues,
    pub(super) in_flight: Arc<InFlight>,
    /// The key that the host has set.
    fingerprints: Option<FingerprintKey>,
    store_key: Box<dyn Fn() -> Option<FingerprintKey> + Send + Sync>,
    pub(crate) auto_key: AutoKey,
    caller_filters: Vec<CallerFilter>,
    pub(crate) description: Description,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) shared_state: SharedState,
    pub(crate) drafts: LiveDrafts,
    /// The records of calls that the store has not applied, if there is an audit log.
    trail: Option<AuditTrail>,
    record_rejected_calls: RecordRejectedCalls,
    /// The lock of the task that writes records. The value is true once the backend is closing and accepts no more records.
    carrying: Mutex<bool>,
    pub(crate) commit_notifications: Box<dyn Fn() -> Option<CommitNotifications> + Send + Sync>,
    waits_in: Box<dyn Fn() -> Option<String> + Send + Sync>,
    close: Box<dyn Fn() -> BoxFuture<'static, Result<()>> + Send + Sync>,
    /// The result of closing, when it is known.
    closed: watch::Receiver<Closed>,
    /// The sender of that result, which the closing task takes. If the task is dropped, no caller waits forever.
    closing: std::sync::Mutex<Option<watch::Sender<Closed>>>,
}

type Closed = Option<Result<()>>;

/// The function that passes rejected-call records to the backend.
pub(crate) type RecordRejectedCalls =
    Box<dyn Fn(RejectedCallRecords) -> BoxFuture<'static, Result<()>> + Send + Sync>;

pub(crate) struct Parts {
    pub(crate) stack: SharedService,
    pub(crate) sites: Arc<[Site]>,
    pub(crate) admission: Admission,
    pub(crate) in_flight: Arc<InFlight>,
    pub(crate) fingerprints: Option<FingerprintKey>,
    pub(crate) store_key: Box<dyn Fn() -> Option<FingerprintKey> + Send + Sync>,
    pub(crate) auto_key: AutoKey,
    pub(crate) caller_filters: Vec<CallerFilter>,
    pub(crate) description: Description,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) trail: Option<AuditTrail>,
    pub(crate) record_rejected_calls: RecordRejectedCalls,
    pub(crate) commit_notifications: Box<dyn Fn() -> Option<CommitNotifications> + Send + Sync>,
    pub(crate) waits_in: Box<dyn Fn() -> Option<String> + Send + Sync>,
    pub(crate) close: Box<dyn Fn() -> BoxFuture<'static, Result<()>> + Send + Sync>,
}

impl Core {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts {
            stack,
            sites,
            admission,
            in_flight,
            fingerprints,
            store_key,
            auto_key,
            caller_filters,
            description,
            clock,
            trail,
            record_rejected_calls,
            commit_notifications,
            waits_in,
            close,
        } = parts;
        let (closing, closed) = watch::channel(None);
        Self {
            owner: OwnerProcess::current(),
            stack,
            watched: Watched::new(&sites),
            sites,
            admission: AdmissionQueues::new(admission),
            in_flight,
            fingerprints,
            store_key,
            auto_key,
            caller_filters,
            description,
            clock,
            shared_state: SharedState::default(),
            drafts: LiveDrafts::default(),
            trail,
            record_rejected_calls,
            carrying: Mutex::new(false),
            commit_notifications,
            waits_in,
            close,
            closed,
            closing: std::sync::Mutex::new(Some(closing)),
        }
    }

    /// Returns the fingerprint of an operation, with the key of the host, or else the key of the store.
    pub(crate) fn fingerprint(&self, args: &PersistArgs) -> Fingerprint {
        self.fingerprints.or_else(&self.store_key).unwrap_or_default().fingerprint(args)
    }

    /// The key that the store generated.
    pub(crate) fn store_key(&self) -> Option<FingerprintKey> {
        (self.store_key)()
    }

    /// Returns the actor or call site that layers and logs see, after the caller filters.
    pub(crate) fn caller_fact(&self, said: &str) -> Arc<str> {
        self.caller_filters
            .iter()
            .fold(said.into(), |said, filter| filter.filter(&said).map_or(said, Arc::from))
    }

    /// Runs a call of a caller: with admission, a deadline, and completion of detached work.
    pub(crate) fn execute(
        self: Arc<Self>,
        facts: Facts,
        args: PersistArgs,
        let_in_by: Option<Arc<InFlightGuard>>,
    ) -> Execution {
        let context = Context::new(facts, Shape::of(&args), Arc::clone(&self.sites));
        Execution::new(self, context, args, let_in_by)
    }

    /// Refuses a call of this shape before it begins.
    pub(crate) fn refuse(self: Arc<Self>, facts: Facts, shape: Shape, error: PersistError) -> Execution {
        let context = Context::new(facts, shape, Arc::clone(&self.sites));
        Execution::refused(self, context, error)
    }

    /// Runs a child call. The edge of the parent provides admission and the deadline.
    pub(crate) fn execute_child(
        self: &Arc<Self>,
        parent: &Context,
        args: PersistArgs,
        keep_key: bool,
    ) -> BoxFuture<'static, Result<PersistResponse>> {
        let context = parent.child(Shape::of(&args), self.sites_under(parent), keep_key);
        self.run_child(context, args)
    }

    /// Runs a call of another pipeline whose backend forwards it to this one. The other pipeline writes the audit entry.
    pub(crate) fn execute_forwarded(
        self: &Arc<Self>,
        parent: &Context,
        args: PersistArgs,
    ) -> BoxFuture<'static, Result<PersistResponse>> {
        let context = parent.child(Shape::of(&args), self.sites_under(parent), true);
        parent.hand_on_audit(&context);
        self.run_child(context, args)
    }

    fn run_child(
        self: &Arc<Self>,
        context: Context,
        args: PersistArgs,
    ) -> BoxFuture<'static, Result<PersistResponse>> {
        let Some(in_flight) = self.in_flight.enter() else {
            return Box::pin(std::future::ready(Err(closed())));
        };
        let running = self.stack.run(PersistRequest { args, context: context.clone() });
        let core = Arc::clone(self);
        Box::pin(async move {
            let _in_flight = in_flight;
            let answer = running.await;
            core.answered(&context, answer.as_ref().err());
            answer
        })
    }

    /// Returns the sites of this pipeline with their paths inside the current site of the parent.
    fn sites_under(&self, parent: &Context) -> Arc<[Site]> {
        let call = parent.call();
        let outer = call.site(call.cursor().load(std::sync::atomic::Ordering::Relaxed));
        let inside = |site: &Site| {
            let path = format!("{}/{}", outer.name(), site.name()).into();
            match site {
                Site::Backend(_) => Site::Backend(path),
                Site::Layer(_) | Site::Edge => Site::Layer(path),
            }
        };
        self.sites.iter().map(inside).collect()
    }

    /// Records the end of a call. A task writes the needed records to the store; only `close` waits for that task.
    pub(super) fn answered(self: &Arc<Self>, context: &Context, failure: Option<&PersistError>) {
        let recorded =
            self.trail.as_ref().and_then(|trail| trail.answered(context, failure, || self.clock.now()));
        match recorded {
            None => {}
            Some(true) => self.record_due(),
            Some(false) => self.set_record_timer(),
        }
    }

    /// Writes the due records in a task that `close` waits for. While the pipeline closes, `close` writes them instead.
    fn record_due(self: &Arc<Self>) {
        if self.in_flight.is_closing() {
            return;
        }
        let core = Arc::clone(self);
        self.in_flight.detach(async move {
            // If the store panics, the records wait for the timer.
            drop(catch_future(core.write_records(false)).await);
            core.set_record_timer();
        });
    }

    /// Starts the timer for the next due records. The timer does not keep the pipeline alive and does not delay `close`, which
    /// writes all waiting records.
    fn set_record_timer(self: &Arc<Self>) {
        let Some(trail) = self.trail.as_ref().filter(|_| !self.in_flight.is_closing()) else { return };
        trail.set_timer(|due| {
            let core = Arc::downgrade(self);
            let timer = self.spawn(async move {
                sleep_until(due).await;
                let Some(core) = core.upgrade() else { return };
                if let Some(trail) = &core.trail {
                    trail.timer_is_over();
                }
                core.record_due();
            });
            timer.abort_handle()
        });
    }

    /// Writes the records of calls that were not applied to the store: those that are due, or all.
    ///
    /// # Errors
    /// The error of the store, or that the pipeline is closed. The records then wait: they are written again after an interval,
    /// and when the pipeline closes.
    pub(crate) async fn write_records(&self, all: bool) -> Result<()> {
        let is_closed = self.carrying.lock().await;
        self.write_records_unless(*is_closed, all).await
    }

    async fn write_records_unless(&self, is_closed: bool, all: bool) -> Result<()> {
        let Some(trail) = &self.trail else { return Ok(()) };
        while let Some((records, carried)) = trail.take(self.clock.now(), all) {
            if is_closed {
                return Err(closed());
            }
            // If the store fails or panics, or the caller drops this future, the records wait again.
            self.record_rejected_calls(records).await?;
            carried.arrived();
            if all {
                break;
            }
        }
        Ok(())
    }

    /// Passes records to the backend.
    pub(crate) async fn record_rejected_calls(&self, records: RejectedCallRecords) -> Result<()> {
        (self.record_rejected_calls)(records).await
    }

    /// The running calls, and the runtime of the pipeline.
    pub(crate) const fn in_flight(&self) -> &Arc<InFlight> {
        &self.in_flight
    }

    /// Spawns a task on the runtime of the pipeline.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        self.in_flight.runtime().spawn(task)
    }

    /// Closes the pipeline once, in a task that no caller can cancel. Every caller gets the result.
    pub(crate) async fn close(self: &Arc<Self>) -> Result<()> {
        self.owner.check().map_err(|error| error.or_at(Some(&Site::Edge)))?;
        self.in_flight.begin_closing();
        if self.spawn(Arc::clone(self).run_close()).await.is_err() {
            // The runtime of the pipeline has ended, but the store must still be closed: use the runtime of the caller.
            let Ok(here) = Handle::try_current() else { return Err(unclosed(Effect::NotApplied)) };
            drop(here.spawn(Arc::clone(self).run_close()));
        }
        let mut closed = self.closed.clone();
        let answer = closed.wait_for(Option::is_some).await.map(|closed| closed.clone());
        // The runtime ended while the task closed the backend; its result is unknown.
        answer.ok().flatten().unwrap_or_else(|| Err(unclosed(Effect::Unknown)))
    }

    /// Describes the work that closing waits for: the calls in flight, and the work of the backend.
    pub(crate) fn waits_in(&self) -> String {
        let calls = match self.in_flight.count() {
            0 => "no call is in flight".to_owned(),
            1 => "1 call is in flight".to_owned(),
            calls => format!("{calls} calls are in flight"),
        };
        match (self.waits_in)() {
            Some(backend) => format!("{calls}, and {backend}"),
            None => calls,
        }
    }

    /// Closes the pipeline unless another task already does.
    async fn run_close(self: Arc<Self>) {
        let Some(answer) = self.closing.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        self.in_flight.drained().await;
        // The backend gets no records after these.
        let mut is_closed = self.carrying.lock().await;
        let core = Arc::clone(&self);
        let written = ended(tokio::spawn(async move { core.write_records_unless(false, true).await }).await);
        *is_closed = true;
        drop(is_closed);
        // In its own task, so that a panic of the backend becomes an error.
        let closed = ended(tokio::spawn((self.close)()).await);
        let unwritten = |error: PersistError| {
            let calls = self.trail.as_ref().map_or(0, AuditTrail::waiting);
            error.context(format!("{calls} calls that were not applied are not in the audit log"))
        };
        let of_backend = |error: PersistError| error.or_at(self.sites.last());
        answer.send_replace(Some(closed.and(written.map_err(unwritten)).map_err(of_backend)));
    }
}

/// The error of a close without a result whose task has ended.
fn unclosed(effect: Effect) -> PersistError {
    PersistError::new(ErrorKind::Cancelled, "the runtime of the pipeline ended before it was closed")
        .with_effect(effect)
        .or_at(Some(&Site::Edge))
}

/// Converts the result of a task that ran code of the backend.
fn ended(task: Result<Result<()>, JoinError>) -> Result<()> {
    task.unwrap_or_else(|ended| {
        let error = match ended.try_into_panic() {
            Ok(payload) => panicked(&*payload),
            Err(_) => PersistError::new(ErrorKind::Cancelled, "the runtime of the pipeline has ended"),
        };
        Err(error.with_effect(Effect::Unknown))
    })
}

pub(super) fn closed() -> PersistError {
    PersistError::new(ErrorKind::Unavailable, "the pipeline is closed").with_effect(Effect::NotApplied)
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline").field("sites", &self.sites).finish_non_exhaustive()
    }
}
