//! A custom backend over redb, an embedded key-value store. The conformance kit verifies every guarantee that it claims:
//! `cargo run --release -- --report report.json` writes a report, and `throughline conformance report report.json` shows it.
//!
//! The write engine decides the effect of each operation. This file only reads and writes keys and values, and commits
//! them durably.

use std::{
    path::Path,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
};

use redb::{
    Database, ReadOnlyTable, ReadableDatabase as _, ReadableTable as _, Table, TableDefinition,
    WriteTransaction,
};
use throughline::{
    Admitted, Backend, BoxError, Capabilities, Context, Durability, Effect, ErrorKind, IndexedMetadata,
    OpKind, Operation, PersistArgs, PersistError, Position, ReadArgs, Reply, Result, Timestamp,
    backend::{self, forward_operations},
    operations::FingerprintKey,
};
use throughline_conformance::{Fixture, Profile, StoreLocation};
use throughline_engine::{
    Halt, Limits, Outcome, Transaction, Write,
    ordered::{Entries, OrderedChanges, OrderedRead, OrderedRows, OrderedWrite},
};

const ROWS: TableDefinition<'_, &str, &str> = TableDefinition::new("rows");
const KEYS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("keys");

/// A read snapshot of the table.
struct Snapshot(ReadOnlyTable<&'static str, &'static str>);

impl OrderedRead for Snapshot {
    fn get(&self, key: &str) -> Result<Option<String>, BoxError> {
        Ok(self.0.get(key)?.map(|value| value.value().to_owned()))
    }

    fn range(&self, from: &str, to: &str) -> Result<Entries<'_>, BoxError> {
        let entries = self.0.range(from..to)?;
        Ok(Box::new(entries.map(|entry| {
            let (key, value) = entry?;
            Ok((key.value().to_owned(), value.value().to_owned()))
        })))
    }
}

/// The table of a write transaction.
struct Rows<'t>(Table<'t, &'static str, &'static str>);

impl OrderedWrite for Rows<'_> {
    fn insert(&mut self, key: &str, value: &str) -> Result<(), BoxError> {
        self.0.insert(key, value)?;
        Ok(())
    }

    fn remove(&mut self, key: &str) -> Result<(), BoxError> {
        self.0.remove(key)?;
        Ok(())
    }
}

struct RedbBackend {
    /// `None` after `close`. The mutex serializes calls, so that a write commits against the same state that it decided on.
    store: Arc<Mutex<Option<Database>>>,
    key: FingerprintKey,
    /// The metadata fields by which the store finds messages.
    indexed: IndexedMetadata,
}

impl RedbBackend {
    fn open(path: &Path, indexed: IndexedMetadata) -> Result<Self, BoxError> {
        let database = Database::create(path)?;
        let transaction = database.begin_write()?;
        transaction.open_table(ROWS)?;
        let mut keys = transaction.open_table(KEYS)?;
        // Idempotency compares fingerprints under this key, so the key must survive a restart.
        let stored = keys.get("fingerprints")?.and_then(|key| key.value().try_into().ok());
        let key = match stored {
            Some(stored) => FingerprintKey::from_bytes(stored),
            None => FingerprintKey::generate()?,
        };
        keys.insert("fingerprints", key.as_bytes().as_slice())?;
        drop(keys);
        transaction.commit()?;
        // A new field gets the stored messages before the first call. A large store would do these steps between calls.
        if let Some(changes) = snapshot(&database, &indexed)?.declare_metadata()? {
            write(&database, &changes)?.0.commit()?;
        }
        while let Some(changes) = snapshot(&database, &indexed)?.index_step(256)? {
            write(&database, &changes)?.0.commit()?;
        }
        Ok(Self { store: Arc::new(Mutex::new(Some(database))), key, indexed })
    }

    /// Runs `work` on a blocking thread with the database.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Database) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let store = Arc::clone(&self.store);
        let run = move || {
            let store = store.lock().unwrap_or_else(PoisonError::into_inner);
            work(store.as_ref().ok_or_else(backend::closed)?)
        };
        // The outcome is unknown after a panic, so the error names no effect.
        tokio::task::spawn_blocking(run)
            .await
            .map_err(|error| PersistError::new(ErrorKind::Internal, error.to_string()))?
    }

    async fn write<O: Operation>(&self, call: Admitted<'_, O>) -> Result<Reply<O>>
    where
        O::Output: 'static,
    {
        let (op, context, now) = call.into_parts();
        let (args, indexed): (PersistArgs, _) = (op.into(), self.indexed.clone());
        let commit = move |database: &Database| commit(database, &indexed, &args, &context, now);
        let (outcome, position) = self.run(commit).await?;
        Reply::of_commit(outcome.result, outcome.changed.then_some(position))
    }
}

/// Opens a read snapshot.
fn snapshot(database: &Database, indexed: &IndexedMetadata) -> Result<OrderedRows<Snapshot>> {
    let open = || Ok(OrderedRows::new(Snapshot(database.begin_read()?.open_table(ROWS)?)));
    open().map(|rows| rows.with_indexed_metadata(indexed.clone())).map_err(not_applied)
}

/// Writes changes. Returns the transaction, which the caller commits, and the position after them.
fn write(database: &Database, changes: &OrderedChanges) -> Result<(WriteTransaction, Position), BoxError> {
    let transaction = database.begin_write()?;
    let position = changes.write(&mut Rows(transaction.open_table(ROWS)?))?;
    Ok((transaction, position))
}

/// Decides a write in the engine, and commits its changes.
fn commit(
    database: &Database,
    indexed: &IndexedMetadata,
    args: &PersistArgs,
    context: &Context,
    now: Timestamp,
) -> Result<(Outcome, Position)> {
    let call = Write { tenant: context.tenant(), args, idempotency: context.idempotency(), now };
    let transaction = Transaction::new(snapshot(database, indexed)?, Limits::default());
    let mut transaction = transaction.with_indexed_metadata(indexed.clone());
    let outcome = transaction.apply(&call).map_err(|halt| match halt {
        Halt::Refused(error) => error,
        Halt::Stopped(error) => not_applied(error),
    })?;
    let (rows, staged) = transaction.into_parts();
    let changes = rows.changes(&staged).map_err(not_applied)?;
    let (transaction, position) = write(database, &changes).map_err(not_applied)?;
    // The outcome of a failed commit is unknown, so this error names no effect.
    transaction.commit().map_err(|error| failed(error.into()))?;
    Ok((outcome, position))
}

fn failed(error: BoxError) -> PersistError {
    PersistError::new(ErrorKind::Unavailable, "redb failed").with_source(error)
}

fn not_applied(error: BoxError) -> PersistError {
    failed(error).with_effect(Effect::NotApplied)
}

impl Backend for RedbBackend {
    fn name(&self) -> &str {
        "redb"
    }

    fn capabilities(&self) -> Capabilities {
        let operations = [
            OpKind::Add,
            OpKind::Reserve,
            OpKind::UpdateContent,
            OpKind::Update,
            OpKind::Delete,
            OpKind::Batch,
            OpKind::Import,
            OpKind::Thread,
            OpKind::Read,
            OpKind::Consumer,
            OpKind::Session,
        ];
        let capabilities = Capabilities::new(Durability::PowerLoss).with_operations(&operations);
        capabilities.with_idempotency().with_changes().with_indexed_metadata(self.indexed.clone())
    }

    fn fingerprint_key(&self) -> Option<FingerprintKey> {
        Some(self.key)
    }

    forward_operations!(writes => write);

    async fn read(&self, call: Admitted<'_, ReadArgs>) -> Result<Reply<ReadArgs>> {
        let (read, context, now) = call.into_parts();
        let indexed = self.indexed.clone();
        let answer =
            move |database: &Database| snapshot(database, &indexed)?.read(context.tenant(), &read, now);
        Ok(Reply::new(self.run(answer).await?))
    }

    async fn close(&self) -> Result<()> {
        *self.store.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }
}

/// The interface of the conformance kit: it opens, and reopens, a store in a given directory.
struct Stores;

impl Fixture for Stores {
    type Backend = RedbBackend;

    fn profile(&self) -> Profile {
        Profile::new("redb")
    }

    async fn open(&self, location: &StoreLocation) -> Result<RedbBackend, BoxError> {
        let indexed = IndexedMetadata::new(["kind", "orderId"])?;
        RedbBackend::open(&location.directory().join("messages.redb"), indexed)
    }
}

fn main() -> ExitCode {
    throughline_conformance::main(Stores)
}
