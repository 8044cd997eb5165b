use std::{
    fmt, mem,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use throughline_core::{
    Admitted, Backend, Capabilities, Durability, Effect, ErrorKind, Operation, PersistArgs, PersistError,
    ReadArgs, Reply, Result, Timestamp,
    audit::RejectedCallRecords,
    backend::{OwnerProcess, queued_size, size_of_rejected_call_records},
    changes::{CommitNotifications, CommitNotifier, ConsumerArgs},
    messages::{Add, Batch, Delete, Import, Reserve, Update, UpdateContent},
    operations::FingerprintKey,
    replication::ReplicaArgs,
    sessions::SessionArgs,
    threads::ThreadArgs,
};
use tokio::task::AbortHandle;

use crate::{
    OpenError, PostgresOptions, commits,
    engine::Engine,
    open::StoreKey,
    options::Settings,
    queue::{Committed, Pending, Write},
    read::Readers,
    search,
    writer::Writers,
};

/// The time before its deadline at which a waiting write times out.
const LAST_WORD: Duration = Duration::from_millis(10);

/// A store in a Postgres database.
///
/// A write returns after its transaction was committed. Writes that wait at the same time share a transaction.
/// Reads run concurrently on connections of their own, and see every write that returned before they began. Any
/// number of processes may open the same database.
///
/// [`Persistence::close`](throughline_core::Persistence::close) applies the admitted writes. If the backend is
/// dropped instead, its threads apply them too, but no caller can wait for that.
///
/// A process that was forked from the one that opened the store cannot use it. Every call in the child fails as
/// [`Invalid`](throughline_core::ErrorKind::Invalid), and there are no commit notifications. The child opens the
/// store itself. A handle that is dropped in the child does not change the store of the parent.
pub struct PostgresBackend {
    pub(crate) settings: Settings,
    owner: OwnerProcess,
    readers: Arc<Readers>,
    writers: Arc<Writers>,
    commits: CommitNotifier,
    engine: Engine,
    /// The task that receives the commits of other processes, from the first subscription on.
    commit_listener: OnceLock<AbortHandle>,
    /// The task that updates the full-text index.
    index: Option<AbortHandle>,
    key: StoreKey,
}

impl PostgresBackend {
    /// `has_index` says whether the store was found with a full-text index.
    pub(crate) fn new(settings: Settings, engine: &Engine, has_index: bool, key: StoreKey) -> Self {
        let commits = CommitNotifier::new();
        let writers = Arc::new(Writers::start(&settings, &commits, engine));
        let readers = Arc::new(Readers::new(&settings, engine));
        let adds = settings.options.search;
        let index = (adds || has_index).then(|| {
            let kept = search::keep(settings.clone(), commits.subscribe(), adds);
            engine.handle().spawn(kept).abort_handle()
        });
        let engine = engine.clone();
        let owner = OwnerProcess::current();
        Self {
            settings,
            owner,
            readers,
            writers,
            commits,
            engine,
            commit_listener: OnceLock::new(),
            index,
            key,
        }
    }

    /// Opens the store in the database of this URL with the default [`PostgresOptions`].
    ///
    /// # Errors
    /// Returns [`OpenError`]; the database is unchanged then.
    ///
    /// # Cancel safety
    /// As for [`PostgresOptions::open`].
    pub async fn open(url: &str) -> Result<Self, OpenError> {
        PostgresOptions::new().open(url).await
    }

    /// Returns a builder, for settings other than the defaults.
    pub fn builder() -> PostgresOptions {
        PostgresOptions::new()
    }

    /// Passes a write to a writer and waits for its result.
    ///
    /// If the call is cancelled while it waits for a permit, or before the writer took it, the write is not
    /// applied. Afterwards the write is applied, even if the caller does not wait for it.
    async fn write<O: Operation>(&self, mut call: Admitted<'_, O>) -> Result<Reply<O>> {
        let audit = call.take_audit().into();
        let (op, context, now) = call.into_parts();
        let args: PersistArgs = op.into();
        let bytes = queued_size(&args, self.settings.options.max_content_bytes)?;
        let wait_until = self.wait_until(context.deadline());
        let (tenant, idempotency) = (context.tenant().clone(), context.idempotency().cloned());
        let write = Write { tenant, args, idempotency, now, audit };
        let Committed { result, position } = self.commit(write, bytes, wait_until).await?;
        let output = O::Output::try_from(result).map_err(|_| mixed_up())?;
        Ok(match position {
            Some(position) => Reply::at(output, position),
            None => Reply::new(output),
        })
    }

    /// Passes a write to a writer and waits until it is committed.
    async fn commit(&self, write: Write, bytes: usize, wait_until: Instant) -> Result<Committed> {
        self.owner.check()?;
        let slot = self.writers.admission.enter(&write.tenant, bytes, wait_until).await?;
        let (pending, answer) = Pending::new(write, wait_until, bytes, slot);
        self.writers.push(pending);
        // Every write gets an answer, even if its writer is lost.
        answer.await.unwrap_or_else(|_| Err(unanswered()))
    }

    fn stop_tasks(&self) {
        for task in self.commit_listener.get().into_iter().chain(&self.index) {
            task.abort();
        }
    }

    /// Returns until when a call waits: a little less than its deadline, so that the caller learns that nothing was
    /// applied.
    fn wait_until(&self, deadline: Option<Instant>) -> Instant {
        let now = Instant::now();
        match deadline {
            Some(deadline) => deadline - (deadline.saturating_duration_since(now) / 8).min(LAST_WORD),
            None => now + self.settings.options.wait_limit,
        }
    }
}

fn unanswered() -> PersistError {
    PersistError::new(ErrorKind::Internal, "the writer dropped a write without an answer")
        .with_effect(Effect::Unknown)
}

fn mixed_up() -> PersistError {
    PersistError::new(ErrorKind::Internal, "the writer answered another operation")
        .with_effect(Effect::Applied)
}

impl Backend for PostgresBackend {
    fn name(&self) -> &str {
        &self.settings.options.name
    }

    fn capabilities(&self) -> Capabilities {
        let claims = Capabilities::full(Durability::PowerLoss)
            .with_multi_process()
            .with_audit()
            .with_max_content_bytes(self.settings.options.max_content_bytes);
        if self.settings.options.search {
            claims.with_search(self.settings.options.tokenizer)
        } else {
            claims
        }
    }

    fn fingerprint_key(&self) -> Option<FingerprintKey> {
        Some(self.key.key())
    }

    async fn add(&self, call: Admitted<'_, Add>) -> Result<Reply<Add>> {
        self.write(call).await
    }

    async fn reserve(&self, call: Admitted<'_, Reserve>) -> Result<Reply<Reserve>> {
        self.write(call).await
    }

    async fn update_content(&self, call: Admitted<'_, UpdateContent>) -> Result<Reply<UpdateContent>> {
        self.write(call).await
    }

    async fn update(&self, call: Admitted<'_, Update>) -> Result<Reply<Update>> {
        self.write(call).await
    }

    async fn delete(&self, call: Admitted<'_, Delete>) -> Result<Reply<Delete>> {
        self.write(call).await
    }

    async fn batch(&self, call: Admitted<'_, Batch>) -> Result<Reply<Batch>> {
        self.write(call).await
    }

    async fn import(&self, call: Admitted<'_, Import>) -> Result<Reply<Import>> {
        self.write(call).await
    }

    async fn thread(&self, call: Admitted<'_, ThreadArgs>) -> Result<Reply<ThreadArgs>> {
        self.write(call).await
    }

    async fn read(&self, call: Admitted<'_, ReadArgs>) -> Result<Reply<ReadArgs>> {
        self.owner.check()?;
        let wait_until = self.wait_until(call.context().deadline());
        let (read, context, now) = call.into_parts();
        Ok(Reply::new(self.readers.read(context.tenant(), read, wait_until, now).await?))
    }

    async fn consumer(&self, call: Admitted<'_, ConsumerArgs>) -> Result<Reply<ConsumerArgs>> {
        self.write(call).await
    }

    async fn session(&self, call: Admitted<'_, SessionArgs>) -> Result<Reply<SessionArgs>> {
        self.write(call).await
    }

    async fn replica(&self, call: Admitted<'_, ReplicaArgs>) -> Result<Reply<ReplicaArgs>> {
        let key = match call.op() {
            ReplicaArgs::SetState(take) => take.taken_key(),
            _ => None,
        };
        let reply = self.write(call).await?;
        if let Some(key) = key {
            self.key.replace(key);
        }
        Ok(reply)
    }

    async fn record_rejected_calls(&self, records: RejectedCallRecords) -> Result<()> {
        let bytes = size_of_rejected_call_records(records.len());
        // The time of each record is the time of the call that it describes.
        let write = Write::of_rejected_calls(records, Timestamp::from_micros(0));
        self.commit(write, bytes, self.wait_until(None)).await.map(drop)
    }

    fn commit_notifications(&self) -> Option<CommitNotifications> {
        if !self.owner.is_current() {
            return None;
        }
        let follow = || {
            let followed = commits::follow(self.settings.clone(), self.commits.clone());
            self.engine.handle().spawn(followed).abort_handle()
        };
        self.commit_listener.get_or_init(follow);
        Some(self.commits.subscribe())
    }

    async fn close(&self) -> Result<()> {
        self.owner.check()?;
        self.stop_tasks();
        let closed = self.writers.close().await;
        self.readers.close().await;
        closed
    }
}

impl Drop for PostgresBackend {
    fn drop(&mut self) {
        if self.owner.is_current() {
            self.stop_tasks();
        } else {
            // A forked child has no copy of the owner's threads. Closing a connection here would wait for those
            // threads forever.
            mem::forget((Arc::clone(&self.readers), Arc::clone(&self.writers), self.engine.clone()));
        }
    }
}

impl fmt::Debug for PostgresBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the connection parameters: they may hold a password.
        f.debug_struct("PostgresBackend").field("options", &self.settings.options).finish_non_exhaustive()
    }
}
