use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use foldhash::fast::RandomState;
use rusqlite::Connection;
use throughline_engine::rows::ThreadKey;

use super::thread::StoredThread;
use crate::{failure::Applied, metadata_index::MetadataNames};

/// The number of threads that are kept from one transaction to the next: about a kilobyte each, and at most [`LARGE`]
/// of the host's metadata.
const KEPT: usize = 4096;
/// The bytes of metadata above which a thread is not kept.
const LARGE: usize = 4096;

/// The threads and the names of indexed metadata that the writer has loaded.
///
/// A loaded row is also valid in the next transaction, if no other writer has committed in between.
#[derive(Debug, Default)]
pub(crate) struct ThreadCache {
    threads: HashMap<ThreadKey, Option<StoredThread>, RandomState>,
    /// Written by this transaction, and not kept for the next one.
    large: Vec<ThreadKey>,
    names: Option<Arc<MetadataNames>>,
    /// Whether the names that were read last have work left.
    has_work: bool,
    /// The position of the commit to which the threads belong. `None` during a transaction, and after one that was not
    /// committed.
    as_of: Option<i64>,
}

impl ThreadCache {
    /// Begins a transaction in a store at this position.
    pub(crate) fn begin(&mut self, position: i64) {
        let is_current = self.as_of.take() == Some(position);
        if !is_current || self.threads.len() > KEPT {
            self.threads.clear();
            self.large.clear();
        }
        if !is_current {
            self.names = None;
        }
    }

    /// Returns the declared names of indexed metadata.
    pub(crate) fn metadata_names(&mut self, db: &Connection) -> rusqlite::Result<Arc<MetadataNames>> {
        if let Some(names) = &self.names {
            return Ok(Arc::clone(names));
        }
        let names = Arc::new(MetadataNames::read(db)?);
        self.has_work = names.has_work;
        self.names = Some(Arc::clone(&names));
        Ok(names)
    }

    /// Returns, once after the names were read, whether their indexes are to be built or removed.
    pub(crate) fn has_found_work(&mut self) -> bool {
        std::mem::take(&mut self.has_work)
    }

    /// Records that the transaction was committed at this position.
    pub(crate) fn committed(&mut self, position: i64) {
        for key in self.large.drain(..) {
            self.threads.remove(&key);
        }
        self.as_of = Some(position);
    }

    /// Returns the thread if it is cached.
    pub(super) fn get_mut(&mut self, key: &ThreadKey) -> Option<&mut StoredThread> {
        self.threads.get_mut(key).and_then(Option::as_mut)
    }

    pub(super) fn get_or_load(
        &mut self,
        key: &ThreadKey,
        load: impl FnOnce() -> Applied<Option<StoredThread>>,
    ) -> Applied<Option<&mut StoredThread>> {
        // A look-up first: most threads are cached, and a key is only copied for one that is not.
        if !self.threads.contains_key(key) {
            let found = load()?;
            self.threads.insert(key.clone(), found);
        }
        Ok(self.get_mut(key))
    }

    /// Adds a new thread.
    pub(super) fn insert(&mut self, key: ThreadKey, thread: StoredThread) -> &mut StoredThread {
        match self.threads.entry(key) {
            Entry::Occupied(entry) => entry.into_mut().insert(thread),
            Entry::Vacant(entry) => entry.insert(None).insert(thread),
        }
    }

    /// Removes a thread: the next look-up loads it again.
    pub(super) fn forget(&mut self, key: &ThreadKey) {
        self.threads.remove(key);
    }

    /// Keeps a written thread for the next transaction, unless it is large.
    pub(super) fn written(&mut self, key: &ThreadKey) {
        let summary = self.get_mut(key).and_then(|thread| thread.row.summary.as_ref());
        if summary.is_some_and(|summary| summary.metadata.byte_len() > LARGE) {
            self.large.push(key.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use throughline_core::{
        Metadata, NewThread, PersistArgs, Timestamp,
        backend::ThreadStats,
        threads::{ArchiveThread, CreateThread, ThreadArgs},
    };
    use throughline_engine::{Limits, StagedRows, Transaction, Write};

    use super::*;
    use crate::rows::{Positions, Source, flush};

    fn key(thread: &str) -> ThreadKey {
        ThreadKey::new(&"a".parse().unwrap(), &thread.parse().unwrap())
    }

    fn stage(
        db: &Connection,
        cache: &mut ThreadCache,
        base: i64,
        change: impl Fn(&mut Transaction<Source<'_>>),
    ) {
        let mut transaction = Transaction::new(Source::new(db, cache), Limits::default());
        change(&mut transaction);
        let (mut source, staged): (_, StagedRows) = transaction.into_parts();
        flush(&mut source, &staged, &Positions::new(base, 4096)).unwrap();
    }

    fn kept(cache: &ThreadCache) -> Vec<String> {
        cache.threads.keys().map(|key| key.thread.to_string()).collect()
    }

    #[test]
    fn large_threads_are_not_cached_and_the_commit_of_another_writer_clears_the_cache() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(include_str!("../../migrations/0001_initial.sql")).unwrap();
        let mut cache = ThreadCache::default();
        cache.begin(0);
        let write = |transaction: &mut Transaction<Source<'_>>, args: PersistArgs| {
            let tenant = "a".parse().unwrap();
            let now = Timestamp::from_micros(0);
            transaction.apply(&Write { tenant: &tenant, args: &args, idempotency: None, now }).unwrap();
        };
        stage(&db, &mut cache, 0, |transaction| {
            for (thread, bytes) in [("small", 1), ("large", LARGE)] {
                let mut metadata = Metadata::new();
                metadata.set("key", "x".repeat(bytes).as_str()).unwrap();
                let thread = NewThread::new().with_id(thread.parse().unwrap()).with_metadata(metadata);
                write(transaction, ThreadArgs::Create(CreateThread::new(thread)).into());
            }
        });
        cache.committed(2);
        let count: i64 = db.query_row("SELECT count(*) FROM catalog", [], |row| row.get(0)).unwrap();
        assert_eq!(count, 2);
        assert_eq!(kept(&cache), ["small"]);

        cache.begin(2);
        stage(&db, &mut cache, 2, |transaction| {
            for thread in ["small", "large"] {
                let archive = ArchiveThread { thread: thread.parse().unwrap(), archived: true };
                write(transaction, ThreadArgs::Archive(archive).into());
            }
        });
        cache.committed(4);
        let archived = "SELECT count(*) FROM catalog WHERE archived";
        assert_eq!(db.query_row(archived, [], |row| row.get::<_, i64>(0)).unwrap(), 2);
        assert_eq!(kept(&cache), ["small"]);
        let facts: Option<ThreadStats> = cache.get_mut(&key("small")).unwrap().row.summary.clone();
        assert!(facts.unwrap().archived);

        cache.begin(5);
        assert!(kept(&cache).is_empty());
    }
}
