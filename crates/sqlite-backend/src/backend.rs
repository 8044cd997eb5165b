use std::{fmt, path::Path, sync::Arc, time::Instant};

use throughline_core::{
    Admitted, Backend, Capabilities, Content, Durability, Effect, Operation, PersistArgs, ReadArgs, Reply,
    Result, TenantId,
    audit::{PendingAuditEntry, RejectedCallRecords},
    backend::{
        OwnerProcess, QueuePermit, forward_operations, queued_size, size_of_rejected_call_records,
        unanswered, wait_until,
    },
    changes::CommitNotifications,
    operations::FingerprintKey,
    replication::ReplicaArgs,
};

use crate::{
    Maintenance, OpenError, SqliteOptions,
    adaptive_spin::AdaptiveSpin,
    blob::{BlobFolder, BlobRef, large_contents},
    error::{EngineError, Phase},
    file_guard,
    open::KeyFile,
    queue::{Committed, Times, Work, Write, lost},
    read::Readers,
    writer::Writer,
};

/// A store in one SQLite file.
///
/// The writer answers a write after it has committed with `synchronous = FULL`: the write survives the loss of power.
/// Writes that wait at the same time share a commit. Reads run on connections of their own, concurrently with the
/// writes, and see every write that was answered before they began. Several processes may open the same file.
///
/// [`Persistence::close`](throughline_core::Persistence::close) applies the admitted writes and checkpoints the WAL. A
/// backend that is dropped instead also applies them, on its thread, but no caller waits for that: a process that ends
/// earlier loses only writes that were not answered. The drop of a [temporary](Self::temporary) store waits until its
/// directory is removed.
///
/// A child process that was forked from the one that opened the store cannot use it: every call there fails as
/// [`Invalid`](throughline_core::ErrorKind::Invalid). On Linux the child cannot open the file either. Fork before you
/// open a store.
pub struct SqliteBackend {
    options: SqliteOptions,
    owner: OwnerProcess,
    path: Arc<Path>,
    readers: Readers,
    writer: Writer,
    adaptive_spin: AdaptiveSpin,
    key: KeyFile,
    blobs: BlobFolder,
}

impl SqliteBackend {
    pub(crate) fn new(
        options: SqliteOptions,
        path: Arc<Path>,
        writer: Writer,
        readers: Readers,
        key: KeyFile,
    ) -> Self {
        let blobs = BlobFolder::of_store(&path);
        let adaptive_spin = AdaptiveSpin::new();
        Self { options, owner: writer.owner, path, readers, writer, adaptive_spin, key, blobs }
    }

    /// Opens the store in the file at `path` with the default [`SqliteOptions`]. Creates the file if it is missing, but
    /// not its directory. The argument is a path, not a URL: `:memory:` and names that begin with `file:` or `sqlite:`
    /// are refused.
    ///
    /// Needs a tokio runtime with time. If the future is dropped before it completes, no store is opened.
    ///
    /// # Errors
    /// [`OpenError`]; the file is unchanged, except that a new file may be left empty.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        SqliteOptions::new().open(path).await
    }

    /// Opens a new store in a directory of its own, which is removed when the store is closed or dropped: for tests and
    /// drafts.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn temporary() -> Result<Self, OpenError> {
        SqliteOptions::new().temporary().await
    }

    /// Returns options, for settings other than the defaults.
    pub fn builder() -> SqliteOptions {
        SqliteOptions::new()
    }

    /// Returns a handle that verifies and backs up the store while it is in use. Take it before you move the backend
    /// into a pipeline.
    #[must_use]
    pub fn maintenance(&self) -> Maintenance {
        let submission = self.writer.submission.clone();
        Maintenance::new(self.owner, Arc::clone(&self.path), submission, self.options.wait_limit)
    }

    #[cfg(test)]
    pub(crate) const fn writer(&self) -> &Writer {
        &self.writer
    }

    /// Sends a write to the writer and waits for its answer.
    ///
    /// If the caller cancels while the write waits for a permit, or before the writer has taken it, the write is not
    /// applied. After that it is applied, even if no caller waits.
    async fn write<O: Operation>(&self, mut call: Admitted<'_, O>) -> Result<Reply<O>> {
        // Serialized here, and not on the thread of the writer.
        let audit = call.take_audit().map(PendingAuditEntry::serialized);
        let (op, context, now) = call.into_parts();
        let args: PersistArgs = op.into();
        let bytes = queued_size(&args, self.options.max_content_bytes)?;
        let times = self.times(context.deadline());
        let mut write = Write {
            tenant: context.tenant().clone(),
            args,
            idempotency: context.idempotency().cloned(),
            audit,
            now,
            blobs: Vec::new(),
        };
        let permit = self.enter(context.tenant(), bytes, times).await?;
        if let Some(above) = self.options.blobs_above {
            // With the permit, so that the queue bounds the bytes that are being written.
            write.blobs = self.write_blobs(large_contents(&write.args, above)).await?;
        }
        let Committed { result, position } = self.commit(permit, write.into(), bytes, times).await?;
        Reply::of_commit(result.ok_or_else(unanswered)?, position)
    }

    /// Waits for a permit of the writer's queue.
    async fn enter(&self, tenant: &TenantId, bytes: usize, times: Times) -> Result<QueuePermit> {
        self.check_owner()?;
        self.writer.submission.enter(tenant, bytes, times).await
    }

    /// Writes contents to blobs, on a blocking thread. A blob whose write is not applied is removed later.
    async fn write_blobs(&self, contents: Vec<Content>) -> Result<Vec<BlobRef>> {
        if contents.is_empty() {
            return Ok(Vec::new());
        }
        let (folder, floor) = (self.blobs.clone(), self.options.free_space_floor);
        let written = tokio::task::spawn_blocking(move || {
            let write = |content: &Content| folder.write_content(content, floor);
            contents.iter().map(write).collect::<std::result::Result<Vec<_>, EngineError>>()
        });
        match written.await {
            Ok(written) => written.map_err(|error| error.to_persist(Phase::Begin).with_source(error)),
            Err(_) => Err(lost(Effect::NotApplied)),
        }
    }

    /// Sends work to the writer and waits until it is committed.
    async fn commit(&self, permit: QueuePermit, work: Work, bytes: usize, times: Times) -> Result<Committed> {
        let submission = &self.writer.submission;
        let mut answer = submission.send(permit, work, bytes, times);
        let answer = self.adaptive_spin.wait(&mut answer, || submission.admission.has_one()).await;
        // The writer answers every write, even after a panic.
        answer.unwrap_or_else(|| Err(unanswered()))
    }

    /// Refuses a call in a forked child process.
    fn check_owner(&self) -> Result<()> {
        self.owner.check().inspect_err(|_| file_guard::close_inherited())
    }

    fn times(&self, deadline: Option<Instant>) -> Times {
        Times { deadline, timeout_at: wait_until(deadline, self.options.wait_limit) }
    }
}

impl Backend for SqliteBackend {
    fn name(&self) -> &str {
        &self.options.name
    }

    fn capabilities(&self) -> Capabilities {
        let claims = Capabilities::full(Durability::PowerLoss)
            .with_multi_process()
            .with_audit()
            .with_indexed_metadata(self.options.indexed.clone())
            .with_max_content_bytes(self.options.max_content_bytes);
        if self.options.search { claims.with_search(self.options.tokenizer) } else { claims }
    }

    fn fingerprint_key(&self) -> Option<FingerprintKey> {
        Some(self.key.key())
    }

    forward_operations!(writes => write);

    async fn read(&self, call: Admitted<'_, ReadArgs>) -> Result<Reply<ReadArgs>> {
        self.check_owner()?;
        let (read, context, now) = call.into_parts();
        Ok(Reply::new(self.readers.read(context.tenant(), read, context.deadline(), now).await?))
    }

    async fn record_rejected_calls(&self, records: RejectedCallRecords) -> Result<()> {
        let (tenant, bytes) = (records.tenant(), size_of_rejected_call_records(records.len()));
        let times = self.times(None);
        let permit = self.enter(&tenant, bytes, times).await?;
        self.commit(permit, Work::RejectedCalls(records), bytes, times).await.map(drop)
    }

    async fn replica(&self, call: Admitted<'_, ReplicaArgs>) -> Result<Reply<ReplicaArgs>> {
        let key = match call.op() {
            ReplicaArgs::SetState(take) => take.taken_key(),
            _ => None,
        };
        let reply = self.write(call).await?;
        if let Some(key) = key {
            self.key.replace(key).await?;
        }
        Ok(reply)
    }

    fn commit_notifications(&self) -> Option<CommitNotifications> {
        Some(self.writer.commit_notifications())
    }

    fn waits_in(&self) -> Option<String> {
        let waits = self.writer.submission.health_state.health().writer_waits?;
        let (step, waited) = (waits.step.as_str(), waits.waited);
        let writes = self.writer.submission.queue.len();
        Some(format!(
            "the writer has waited in {step} for {waited:.1?}, and {writes} more writes wait for it"
        ))
    }

    async fn close(&self) -> Result<()> {
        self.check_owner()?;
        // The readers close first: SQLite checkpoints and deletes the WAL when the last connection closes, and that one
        // must be able to write.
        self.readers.close().await;
        self.writer.close().await
    }
}

impl fmt::Debug for SqliteBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteBackend").field("options", &self.options).finish_non_exhaustive()
    }
}
