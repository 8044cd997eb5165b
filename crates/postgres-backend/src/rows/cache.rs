use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
};

use throughline_core::PersistError;
use throughline_engine::Halt;

use super::NotLoaded;

/// Loaded rows of one table, and the keys of the rows to load.
///
/// The transaction keeps every row that it received, so each row is returned once. An error is returned every time.
#[derive(Debug)]
pub(super) struct Cache<K, V> {
    loaded: HashMap<K, Result<V, PersistError>>,
    wanted: HashSet<K>,
}

impl<K, V> Default for Cache<K, V> {
    fn default() -> Self {
        Self { loaded: HashMap::new(), wanted: HashSet::new() }
    }
}

impl<K: Clone + Eq + Hash, V> Cache<K, V> {
    /// Returns a loaded row, or records that it must be loaded.
    pub(super) fn take(&mut self, key: &K) -> Result<V, Halt<NotLoaded>> {
        match self.loaded.remove(key) {
            Some(Ok(row)) => Ok(row),
            Some(Err(error)) => {
                self.loaded.insert(key.clone(), Err(error.clone()));
                Err(error.into())
            }
            None => {
                self.wanted.insert(key.clone());
                Err(Halt::Stopped(NotLoaded))
            }
        }
    }

    /// Records that a row must be loaded.
    pub(super) fn want(&mut self, key: &K) {
        if !self.loaded.contains_key(key) {
            self.wanted.insert(key.clone());
        }
    }

    /// The keys of the rows to load.
    pub(super) fn take_wanted(&mut self) -> Vec<K> {
        self.wanted.drain().collect()
    }

    /// The loaded rows that were not taken yet, without the damaged ones.
    pub(super) fn loaded(&self) -> impl Iterator<Item = (&K, &V)> {
        self.loaded.iter().filter_map(|(key, row)| Some((key, row.as_ref().ok()?)))
    }

    /// Adds a loaded row, unless one is there.
    pub(super) fn insert(&mut self, key: K, row: V) {
        self.loaded.entry(key).or_insert(Ok(row));
    }

    /// Adds the error for a damaged row.
    pub(super) fn insert_damaged(&mut self, key: K, error: PersistError) {
        self.loaded.insert(key, Err(error));
    }
}

#[cfg(test)]
mod tests {
    use throughline_core::ErrorKind;

    use super::*;

    #[test]
    fn missing_row_is_recorded_and_returned_after_loading() {
        let mut cache = Cache::default();
        assert!(matches!(cache.take(&1), Err(Halt::Stopped(NotLoaded))));
        cache.want(&1);
        assert_eq!(cache.take_wanted(), [1]);
        cache.insert(1, Some("loaded"));
        cache.want(&1);
        assert!(cache.take_wanted().is_empty());
        assert!(matches!(cache.take(&1), Ok(Some("loaded"))));
        assert!(matches!(cache.take(&1), Err(Halt::Stopped(NotLoaded))));
    }

    #[test]
    fn damaged_row_is_refused_every_time() {
        let mut cache: Cache<u8, Option<u8>> = Cache::default();
        cache.insert_damaged(1, PersistError::new(ErrorKind::Corrupt, "damaged"));
        for _ in 0..2 {
            let Err(Halt::Refused(error)) = cache.take(&1) else { panic!("it was handed out") };
            assert_eq!(error.kind(), ErrorKind::Corrupt);
        }
    }
}
