use std::{fmt, mem, sync::Arc, time::Instant};

use throughline_core::{
    Admitted, Backend, Capabilities, Durability, Operation, PersistArgs, ReadArgs, Reply, Result, Timestamp,
    audit::{PendingAuditEntry, RejectedCallRecords},
    backend::{forward_operations, queued_size, size_of_rejected_call_records, unanswered},
    changes::CommitNotifications,
    operations::FingerprintKey,
    replication::ReplicaArgs,
};
use tokio::task::AbortHandle;

use crate::{
    OpenError, PostgresOptions, PostgresReader, metadata_index,
    open::{Opened, StoreKey},
    queue::{Committed, Pending, Write},
    search,
    writer::Writers,
};

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
    pub(crate) reader: PostgresReader,
    writers: Arc<Writers>,
    /// The task that updates the full-text index.
    index: Option<AbortHandle>,
    /// The task that builds an index of metadata.
    metadata: Option<AbortHandle>,
    key: StoreKey,
}

impl PostgresBackend {
    pub(crate) fn new(reader: PostgresReader, opened: Opened) -> Self {
        let Opened { has_index, has_metadata_work, key } = opened;
        let writers = Arc::new(Writers::start(&reader.settings, reader.notifier(), &reader.engine));
        let adds = reader.settings.options.search;
        let index = (adds || has_index).then(|| {
            let kept = search::keep(reader.settings.clone(), reader.notifier().subscribe(), adds);
            reader.engine.handle().spawn(kept).abort_handle()
        });
        let metadata = has_metadata_work.then(|| {
            let built = metadata_index::keep(reader.settings.clone());
            reader.engine.handle().spawn(built).abort_handle()
        });
        Self { reader, writers, index, metadata, key }
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
        let audit = call.take_audit().map(PendingAuditEntry::serialized).into();
        let (op, context, now) = call.into_parts();
        let args: PersistArgs = op.into();
        let bytes = queued_size(&args, self.reader.settings.options.max_content_bytes)?;
        let wait_until = self.reader.wait_until(context.deadline());
        let (tenant, idempotency) = (context.tenant().clone(), context.idempotency().cloned());
        let write = Write { tenant, args, idempotency, now, audit };
        let Committed { result, position } = self.commit(write, bytes, wait_until).await?;
        Reply::of_commit(result, position)
    }

    /// Passes a write to a writer and waits until it is committed.
    async fn commit(&self, write: Write, bytes: usize, wait_until: Instant) -> Result<Committed> {
        self.reader.owner.check()?;
        let slot = self.writers.admission.enter(&write.tenant, bytes, wait_until).await?;
        let (pending, answer) = Pending::new(write, wait_until, bytes, slot);
        self.writers.push(pending);
        // Every write gets an answer, even if its writer is lost.
        answer.await.unwrap_or_else(|_| Err(unanswered()))
    }

    fn stop_index(&self) {
        self.index.iter().chain(&self.metadata).for_each(AbortHandle::abort);
    }
}

impl Backend for PostgresBackend {
    fn name(&self) -> &str {
        self.reader.name()
    }

    fn capabilities(&self) -> Capabilities {
        let options = &self.reader.settings.options;
        let claims = Capabilities::full(Durability::PowerLoss)
            .with_multi_process()
            .with_audit()
            .with_indexed_metadata(options.indexed.clone())
            .with_max_content_bytes(options.max_content_bytes);
        if options.search { claims.with_search(options.tokenizer) } else { claims }
    }

    fn fingerprint_key(&self) -> Option<FingerprintKey> {
        Some(self.key.key())
    }

    forward_operations!(writes => write);

    async fn read(&self, call: Admitted<'_, ReadArgs>) -> Result<Reply<ReadArgs>> {
        self.reader.read(call).await
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
        self.commit(write, bytes, self.reader.wait_until(None)).await.map(drop)
    }

    fn commit_notifications(&self) -> Option<CommitNotifications> {
        self.reader.commit_notifications()
    }

    async fn close(&self) -> Result<()> {
        self.reader.owner.check()?;
        self.stop_index();
        let closed = self.writers.close().await;
        self.reader.close().await?;
        closed
    }
}

impl Drop for PostgresBackend {
    fn drop(&mut self) {
        if self.reader.owner.is_current() {
            self.stop_index();
        } else {
            // As for the readers: a forked child has no copy of the owner's threads.
            mem::forget(Arc::clone(&self.writers));
        }
    }
}

impl fmt::Debug for PostgresBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the connection parameters: they may hold a password.
        f.debug_struct("PostgresBackend")
            .field("options", &self.reader.settings.options)
            .finish_non_exhaustive()
    }
}
