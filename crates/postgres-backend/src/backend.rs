use std::{
    fmt, mem,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use throughline_core::{
    Admitted, Backend, Capabilities, Durability, Effect, ErrorKind, Operation, PersistArgs, PersistError,
    ReadArgs, Reply, Result, Timestamp,
    audit::RejectedCallRecords,
    backend::{OwnerProcess, size_of_rejected_call_records, weight},
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

/// How long before its deadline a write that still waits is given up.
const LAST_WORD: Duration = Duration::from_millis(10);

/// A store in a Postgres database.
///
/// A write is answered after its transaction was committed. Writes that wait at the same time share one. Reads run beside them on
/// connections of their own, and see every write that was answered before they began. Any number of processes may open the same
/// database.
///
/// Closing, with [`Persistence::close`](throughline_core::Persistence::close), applies what was admitted. A backend that is dropped
/// instead applies what was admitted too, on its threads, and nobody waits for that.
///
/// A child process that was forked from the one that opened the store cannot use it: every call there is refused as
/// [`Invalid`](throughline_core::ErrorKind::Invalid), it has no commit notifications, and the child opens the store itself. A handle that is
/// dropped there leaves the store of the parent as it is.
pub struct PostgresBackend {
    pub(crate) settings: Settings,
    owner: OwnerProcess,
    readers: Arc<Readers>,
    writers: Arc<Writers>,
    commits: CommitNotifier,
    engine: Engine,
    /// Follows the commits of other processes, from the first subscription on.
    follower: OnceLock<AbortHandle>,
    /// Goes on with the index of words.
    index: Option<AbortHandle>,
    key: StoreKey,
}

impl PostgresBackend {
    /// `has_index` is of a store that was found with an index of words.
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
        Self { settings, owner, readers, writers, commits, engine, follower: OnceLock::new(), index, key }
    }

    /// Opens the store in the database of this URL with the default [`PostgresOptions`].
    ///
    /// # Errors
    /// [`OpenError`]; the database is as it was then.
    ///
    /// # Cancel safety
    /// As of [`PostgresOptions::open`].
    pub async fn open(url: &str) -> Result<Self, OpenError> {
        PostgresOptions::new().open(url).await
    }

    /// Settings other than the defaults.
    pub fn builder() -> PostgresOptions {
        PostgresOptions::new()
    }

    /// Hands a write to a writer and waits for its answer.
    ///
    /// Cancelled while it waits for a place, or before the writer has taken it, the write is not applied; afterwards it is, whoever
    /// listens.
    async fn write<O: Operation>(&self, mut call: Admitted<'_, O>) -> Result<Reply<O>> {
        let audit = call.take_audit().into();
        let (op, context, now) = call.into_parts();
        let args: PersistArgs = op.into();
        let bytes = weight(&args, self.settings.options.max_content_bytes)?;
        let give_up = self.give_up(context.deadline());
        let (tenant, idempotency) = (context.tenant().clone(), context.idempotency().cloned());
        let write = Write { tenant, args, idempotency, now, audit };
        let Committed { result, position } = self.commit(write, bytes, give_up).await?;
        let output = O::Output::try_from(result).map_err(|_| mixed_up())?;
        Ok(match position {
            Some(position) => Reply::at(output, position),
            None => Reply::new(output),
        })
    }

    /// Hands something to a writer and waits until it was committed.
    async fn commit(&self, write: Write, bytes: usize, give_up: Instant) -> Result<Committed> {
        self.owner.check()?;
        let slot = self.writers.admission.enter(&write.tenant, bytes, give_up).await?;
        let (pending, answer) = Pending::new(write, give_up, bytes, slot);
        self.writers.push(pending);
        // Every write is answered, also one that its writer was lost with.
        answer.await.unwrap_or_else(|_| Err(unanswered()))
    }

    fn stop_following(&self) {
        for task in self.follower.get().into_iter().chain(&self.index) {
            task.abort();
        }
    }

    /// Until when a call waits: a little less than its caller, who could not know otherwise that nothing was applied.
    fn give_up(&self, deadline: Option<Instant>) -> Instant {
        let now = Instant::now();
        match deadline {
            Some(deadline) => deadline - (deadline.saturating_duration_since(now) / 8).min(LAST_WORD),
            None => now + self.settings.options.wait_limit,
        }
    }
}

fn unanswered() -> PersistError {
    PersistError::new(ErrorKind::Internal, "the writer let a write go without an answer")
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
        let give_up = self.give_up(call.context().deadline());
        let (read, context, now) = call.into_parts();
        Ok(Reply::new(self.readers.read(context.tenant(), read, give_up, now).await?))
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
        // Their moments are those of the calls that they are about.
        let write = Write::of_notes(records, Timestamp::from_micros(0));
        self.commit(write, bytes, self.give_up(None)).await.map(drop)
    }

    fn commit_notifications(&self) -> Option<CommitNotifications> {
        if !self.owner.is_current() {
            return None;
        }
        let follow = || {
            let followed = commits::follow(self.settings.clone(), self.commits.clone());
            self.engine.handle().spawn(followed).abort_handle()
        };
        self.follower.get_or_init(follow);
        Some(self.commits.subscribe())
    }

    async fn close(&self) -> Result<()> {
        self.owner.check()?;
        self.stop_following();
        let closed = self.writers.close().await;
        self.readers.close().await;
        closed
    }
}

impl Drop for PostgresBackend {
    fn drop(&mut self) {
        if self.owner.is_current() {
            self.stop_following();
        } else {
            // A forked child shares what the threads of the owner wait on: a connection that ends here would be waited for there in vain.
            mem::forget((Arc::clone(&self.readers), Arc::clone(&self.writers), self.engine.clone()));
        }
    }
}

impl fmt::Debug for PostgresBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not where it is connected to: that may hold a password.
        f.debug_struct("PostgresBackend").field("options", &self.settings.options).finish_non_exhaustive()
    }
}
