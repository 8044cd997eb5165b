//! A store in memory, for tests and for data that may be lost.
//!
//! ```
//! use throughline_core::{NewMessage, Persistence, messages::PageFrom};
//! use throughline_memory::MemoryBackend;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> throughline_core::Result<()> {
//! let db = Persistence::builder().backend(MemoryBackend::new()).build()?;
//! let thread = db.thread("telegram:42");
//! thread.add(NewMessage::user("hello")).await?;
//! assert_eq!(thread.page(PageFrom::End, 20).await?.messages.len(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! The rows are in maps behind one lock, and are lost when the value is dropped. The [engine](throughline_engine) decides every
//! write. The store supports every operation and claims no durability.

mod audit;
mod changes;
mod commit;
mod metadata_index;
mod page;
mod replica;
mod search;
mod sessions;
mod source;
mod store;
mod thread;

use std::{
    fmt,
    future::{Ready, ready},
    sync::{Mutex, MutexGuard},
};

use throughline_core::{
    Admitted, Backend, Capabilities, Durability, IndexedMetadata, Operation, PersistArgs, PersistError,
    PersistResult, Position, ReadArgs, Reply, Result,
    audit::RejectedCallRecords,
    backend::{forward_operations, rules, search::Tokenizer},
    changes::{CommitNotifications, CommitNotifier},
    operations::FingerprintKey,
    replication::ReplicaArgs,
};

use self::{metadata_index::MetadataIndex, store::Store};

/// A backend that keeps all rows in memory.
pub struct MemoryBackend {
    name: String,
    store: Mutex<Store>,
    fingerprint_key: Mutex<FingerprintKey>,
    commits: CommitNotifier,
}

impl MemoryBackend {
    /// Returns an empty store with the name `memory`.
    ///
    /// # Panics
    /// If the operating system has no random bytes.
    #[must_use]
    pub fn new() -> Self {
        Self {
            name: "memory".to_owned(),
            store: Mutex::default(),
            fingerprint_key: Mutex::new(FingerprintKey::generate().expect("the operating system is random")),
            commits: CommitNotifier::new(),
        }
    }

    /// Sets the name, for a pipeline inside another pipeline.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets the tokenizer of searches; [`Tokenizer::Words`] by default. See also [`Tokenizer::Cjk`].
    #[must_use]
    pub fn with_tokenizer(self, tokenizer: Tokenizer) -> Self {
        self.lock().tokenizer = tokenizer;
        self
    }

    /// Sets the metadata fields of messages that the store indexes; none by default. See [`Persistence::find`].
    ///
    /// [`Persistence::find`]: throughline_core::Persistence::find
    ///
    /// ```
    /// use throughline_core::{IndexedMetadata, Metadata, NewMessage, Persistence};
    /// use throughline_memory::MemoryBackend;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = MemoryBackend::new().with_indexed_metadata(IndexedMetadata::new(["orderId"])?);
    /// let db = Persistence::builder().backend(store).build()?;
    /// let mut metadata = Metadata::new();
    /// metadata.set("orderId", "A-17")?;
    /// let thread = db.thread("telegram:42");
    /// thread.add(NewMessage::user("where is my order?").with_metadata(metadata)).await?;
    /// assert_eq!(thread.find("orderId", "A-17", 20).await?.messages.len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_indexed_metadata(self, indexed: IndexedMetadata) -> Self {
        self.lock().index = MetadataIndex::new(indexed);
        self
    }

    fn lock(&self) -> MutexGuard<'_, Store> {
        self.store.lock().expect("nothing panics while it holds the lock")
    }

    fn write<O: Operation>(&self, call: Admitted<'_, O>) -> Ready<Result<Reply<O>>> {
        ready(self.apply(call))
    }

    /// Makes a write. It holds the lock from its first look-up to its last change.
    fn apply<O: Operation>(&self, mut call: Admitted<'_, O>) -> Result<Reply<O>> {
        let audit = call.take_audit();
        let (op, context, now) = call.into_parts();
        let args: PersistArgs = op.into();
        let (result, position) = self.lock().audited(audit.as_ref(), now, |store| {
            store.write(context.tenant(), &args, context.idempotency(), now)
        })?;
        match (position, rules::changed_threads(&args)) {
            (Some(position), Some(threads)) => {
                let threads = threads.into_iter().map(|thread| (context.tenant(), thread));
                self.commits.notify_threads(position, threads);
                Reply::of_commit(result, Some(position))
            }
            _ => self.reply(result, position),
        }
    }

    fn reply<O: Operation>(&self, result: PersistResult, position: Option<Position>) -> Result<Reply<O>> {
        position.into_iter().for_each(|position| self.commits.notify(position));
        Reply::of_commit(result, position)
    }
}

impl Default for MemoryBackend {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBackend").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Backend for MemoryBackend {
    fn name(&self) -> &str {
        &self.name
    }

    fn capabilities(&self) -> Capabilities {
        let store = self.lock();
        Capabilities::full(Durability::Volatile)
            .with_search(store.tokenizer)
            .with_indexed_metadata(store.index.names.clone())
            .with_audit()
    }

    fn fingerprint_key(&self) -> Option<FingerprintKey> {
        Some(*self.fingerprint_key.lock().expect("nothing panics while it holds the lock"))
    }

    forward_operations!(writes => write);

    async fn read(&self, call: Admitted<'_, ReadArgs>) -> Result<Reply<ReadArgs>> {
        let (read, context, now) = call.into_parts();
        Ok(Reply::new(self.lock().read(context.tenant(), &read, now)?))
    }

    async fn record_rejected_calls(&self, records: RejectedCallRecords) -> Result<()> {
        self.lock().record_rejected_calls(&records)
    }

    async fn replica(&self, call: Admitted<'_, ReplicaArgs>) -> Result<Reply<ReplicaArgs>> {
        let (op, _, now) = call.into_parts();
        let key = match &op {
            ReplicaArgs::SetState(take) => take.taken_key(),
            _ => None,
        };
        let (output, position) = self.lock().replicate(op, now)?;
        if let Some(key) = key {
            *self.fingerprint_key.lock().expect("nothing panics while it holds the lock") = key;
        }
        self.reply(output.into(), position)
    }

    fn commit_notifications(&self) -> Option<CommitNotifications> {
        Some(self.commits.subscribe())
    }

    async fn close(&self) -> Result<(), PersistError> {
        self.lock().close();
        Ok(())
    }
}
