//! The rows of threads as this writer has committed them last.
//!
//! Other processes may have changed them since. So a row is used only if the writer has found it unchanged before, and the statement
//! that is decided on it compares it again.

use std::collections::HashMap;

use throughline_engine::{
    StagedRows,
    rows::{ThreadKey, ThreadRow},
};

use super::thread::stored_text;

/// The most rows of each generation, and the most bytes of their texts.
const MOST_ROWS: usize = 4096;
const MOST_BYTES: usize = 4 << 20;

/// The rows in two generations: a full generation replaces the older one, so that unused rows disappear.
#[derive(Debug, Default)]
pub(crate) struct ThreadCache {
    recent: HashMap<ThreadKey, CachedThread>,
    /// The bytes of the texts in `recent`.
    bytes: usize,
    older: HashMap<ThreadKey, CachedThread>,
}

#[derive(Debug)]
struct CachedThread {
    row: ThreadRow,
    text: String,
    /// Whether the writer has loaded the row again after it had written it, and no other writer had changed it. Threads that several
    /// processes write in turn never are.
    is_confirmed: bool,
}

impl ThreadCache {
    /// Returns a confirmed row.
    pub(crate) fn confirmed(&mut self, key: &ThreadKey) -> Option<&ThreadRow> {
        if let Some(cached) = self.older.remove(key) {
            self.insert(key.clone(), cached);
        }
        self.recent.get(key).filter(|cached| cached.is_confirmed).map(|cached| &cached.row)
    }

    /// Returns the text of a row as the store has it.
    pub(super) fn stored_text(&self, key: &ThreadKey) -> Option<&str> {
        self.recent.get(key).or_else(|| self.older.get(key)).map(|cached| &*cached.text)
    }

    /// Compares a loaded row: confirms the row of the cache, or forgets it.
    pub(super) fn compare(&mut self, key: &ThreadKey, loaded: Option<&ThreadRow>) {
        let Some(mut cached) = self.take(key) else { return };
        if loaded == Some(&cached.row) {
            cached.is_confirmed = true;
            self.insert(key.clone(), cached);
        }
    }

    /// Keeps the threads of a committed transaction.
    pub(crate) fn keep(&mut self, staged: &StagedRows) {
        for (key, row) in staged.threads.changed() {
            let is_confirmed = self.take(key).is_some_and(|before| before.is_confirmed);
            if let Some(text) = stored_text(row) {
                self.insert(key.clone(), CachedThread { row: row.clone(), text, is_confirmed });
            }
        }
    }

    /// Forgets the threads of a transaction that was not committed.
    pub(crate) fn forget(&mut self, staged: &StagedRows) {
        for (key, _) in staged.threads.changed() {
            self.take(key);
        }
    }

    fn take(&mut self, key: &ThreadKey) -> Option<CachedThread> {
        match self.recent.remove(key) {
            Some(cached) => {
                self.bytes -= cached.text.len();
                Some(cached)
            }
            None => self.older.remove(key),
        }
    }

    fn insert(&mut self, key: ThreadKey, cached: CachedThread) {
        if self.recent.len() >= MOST_ROWS || self.bytes >= MOST_BYTES {
            self.older = std::mem::take(&mut self.recent);
            self.bytes = 0;
        }
        self.bytes += cached.text.len();
        if let Some(before) = self.recent.insert(key, cached) {
            self.bytes -= before.text.len();
        }
    }
}
