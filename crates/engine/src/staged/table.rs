use std::{
    collections::{HashMap, hash_map::Entry},
    hash::Hash,
};

use foldhash::fast::RandomState;

/// The known rows of one table in a transaction: loaded rows, and the changes over them.
///
/// ```
/// use throughline_engine::staged::StagedTable;
///
/// let mut table = StagedTable::default();
/// table.insert_loaded("stored", Some(1));
/// table.put("stored", 2);
/// table.put("new", 3);
/// assert_eq!(table.updated().collect::<Vec<_>>(), [(&"stored", &2)]);
/// assert_eq!(table.added().collect::<Vec<_>>(), [(&"new", &3)]);
/// table.undo();
/// assert_eq!(table.known(&"stored"), Some(Some(&1)));
/// assert_eq!(table.known(&"new"), None, "it was never loaded");
/// ```
#[derive(Debug)]
pub struct StagedTable<K, V> {
    /// A fast hash with a random seed: keys have two or three names, and each write looks up several.
    slots: HashMap<K, TableRow<V>, RandomState>,
    /// The rows before the changes since the savepoint.
    undo: Vec<(K, Option<TableRow<V>>)>,
}

#[derive(Debug)]
struct TableRow<V> {
    /// `None` if there is no row.
    row: Option<V>,
    is_changed: bool,
    /// Whether the store has a row under the key.
    is_stored: bool,
}

impl<K, V> Default for StagedTable<K, V> {
    fn default() -> Self {
        Self { slots: HashMap::default(), undo: Vec::new() }
    }
}

impl<K: Clone + Eq + Hash, V> StagedTable<K, V> {
    /// Returns what is known of a row: `None` if it was never loaded, `Some(None)` if there is no row.
    #[must_use]
    pub fn known(&self, key: &K) -> Option<Option<&V>> {
        self.slots.get(key).map(|slot| slot.row.as_ref())
    }

    /// Returns the row. `load` loads an unknown one.
    ///
    /// # Errors
    /// The error of `load`.
    pub fn get_or_load<E>(
        &mut self,
        key: &K,
        load: impl FnOnce() -> Result<Option<V>, E>,
    ) -> Result<Option<&V>, E> {
        // A look-up first: most rows are known, and a key is only cloned for an unknown row.
        if !self.slots.contains_key(key) {
            let row = load()?;
            self.insert_loaded(key.clone(), row);
        }
        Ok(self.slots.get(key).and_then(|slot| slot.row.as_ref()))
    }

    /// Inserts a loaded row. A known row is newer and remains.
    pub fn insert_loaded(&mut self, key: K, row: Option<V>) {
        if let Entry::Vacant(entry) = self.slots.entry(key) {
            let is_stored = row.is_some();
            entry.insert(TableRow { row, is_changed: false, is_stored });
        }
    }

    /// Forgets a loaded row that was not changed: the next look-up loads it again.
    pub fn forget_loaded(&mut self, key: &K) {
        if self.slots.get(key).is_some_and(|slot| !slot.is_changed) {
            self.slots.remove(key);
        }
    }

    /// Writes a row. A row that was never loaded is new to the store.
    pub fn put(&mut self, key: K, row: V) {
        let is_stored = self.slots.get(&key).is_some_and(|slot| slot.is_stored);
        self.set(key, Some(row), is_stored);
    }

    /// Writes a row that the store has, although it was not loaded.
    pub fn put_over_stored(&mut self, key: K, row: V) {
        self.set(key, Some(row), true);
    }

    /// Removes a row.
    pub fn remove(&mut self, key: K) {
        let is_stored = self.slots.get(&key).is_some_and(|slot| slot.is_stored);
        self.set(key, None, is_stored);
    }

    /// Removes a row that the store has, although it was not loaded.
    pub fn remove_stored(&mut self, key: K) {
        self.set(key, None, true);
    }

    fn set(&mut self, key: K, row: Option<V>, is_stored: bool) {
        let before = self.slots.insert(key.clone(), TableRow { row, is_changed: true, is_stored });
        self.undo.push((key, before));
    }

    /// The known existing rows, loaded or changed.
    pub fn rows(&self) -> impl Iterator<Item = (&K, &V)> {
        self.slots.iter().filter_map(|(key, slot)| Some((key, slot.row.as_ref()?)))
    }

    /// The rows to write, new or not.
    pub fn changed(&self) -> impl Iterator<Item = (&K, &V)> {
        self.changed_where(|_| true)
    }

    /// The rows to write, new or not, by value.
    pub fn into_changed(self) -> impl Iterator<Item = (K, V)> {
        let changed = self.slots.into_iter().filter(|(_, slot)| slot.is_changed);
        changed.filter_map(|(key, slot)| Some((key, slot.row?)))
    }

    /// The rows to insert.
    pub fn added(&self) -> impl Iterator<Item = (&K, &V)> {
        self.changed_where(|slot| !slot.is_stored)
    }

    /// The rows to update: the store has a row under the key.
    pub fn updated(&self) -> impl Iterator<Item = (&K, &V)> {
        self.changed_where(|slot| slot.is_stored)
    }

    fn changed_where(&self, is_wanted: fn(&TableRow<V>) -> bool) -> impl Iterator<Item = (&K, &V)> {
        let changed = self.slots.iter().filter(move |(_, slot)| slot.is_changed && is_wanted(slot));
        changed.filter_map(|(key, slot)| Some((key, slot.row.as_ref()?)))
    }

    /// The keys of the stored rows to delete.
    pub fn removed(&self) -> impl Iterator<Item = &K> {
        let is_removed = |slot: &TableRow<V>| slot.is_changed && slot.is_stored && slot.row.is_none();
        self.slots.iter().filter(move |(_, slot)| is_removed(slot)).map(|(key, _)| key)
    }

    /// Whether the row under a key is to be written or deleted.
    #[must_use]
    pub fn is_changed(&self, key: &K) -> bool {
        self.slots.get(key).is_some_and(|slot| slot.is_changed)
    }

    /// Sets a savepoint.
    pub fn set_savepoint(&mut self) {
        self.undo.clear();
    }

    /// Undoes every change since the last savepoint. Loaded rows remain loaded.
    pub fn undo(&mut self) {
        while let Some((key, before)) = self.undo.pop() {
            match before {
                Some(slot) => self.slots.insert(key, slot),
                None => self.slots.remove(&key),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(row: Option<u8>) -> impl FnOnce() -> Result<Option<u8>, &'static str> {
        move || Ok(row)
    }

    #[test]
    fn a_row_is_loaded_once() {
        let mut table = StagedTable::default();
        assert_eq!(table.get_or_load(&1, || Err("not loaded yet")), Err("not loaded yet"));
        assert_eq!(table.get_or_load(&1, load(Some(10))), Ok(Some(&10)));
        assert_eq!(table.get_or_load(&1, load(Some(11))), Ok(Some(&10)));
        assert_eq!(table.get_or_load(&2, load(None)), Ok(None));
        assert_eq!(table.get_or_load(&2, load(Some(20))), Ok(None));
    }

    #[test]
    fn a_changed_row_is_newer_than_a_loaded_one() {
        let mut table = StagedTable::default();
        table.put(1, "changed");
        table.insert_loaded(1, Some("loaded"));
        assert_eq!(table.known(&1), Some(Some(&"changed")));
    }

    #[test]
    fn undo_goes_back_to_the_savepoint_and_keeps_what_was_loaded() {
        let mut table = StagedTable::default();
        table.insert_loaded(1, Some(10));
        table.put(1, 11);
        table.set_savepoint();
        table.put(1, 12);
        table.put(1, 13);
        table.put(3, 30);
        table.remove(1);
        table.insert_loaded(4, Some(40));
        table.undo();
        assert_eq!(table.known(&1), Some(Some(&11)));
        assert_eq!(table.known(&3), None);
        assert_eq!(table.known(&4), Some(Some(&40)));
        assert_eq!(table.changed().collect::<Vec<_>>(), [(&1, &11)]);
        assert_eq!(table.into_changed().collect::<Vec<_>>(), [(1, 11)]);
    }

    #[test]
    fn only_stored_rows_are_deleted() {
        let mut table = StagedTable::default();
        table.insert_loaded(1, Some(10));
        table.remove(1);
        table.put(2, 20);
        table.remove(2);
        assert_eq!(table.removed().collect::<Vec<_>>(), [&1]);
        assert_eq!(table.changed().count(), 0);
        table.put(1, 11);
        assert_eq!(table.updated().collect::<Vec<_>>(), [(&1, &11)]);
        assert_eq!(table.removed().count(), 0);
    }

    #[test]
    fn a_row_put_over_an_unloaded_row_is_an_update_and_its_removal_is_a_deletion() {
        let mut table = StagedTable::default();
        table.put_over_stored(1, 10);
        assert_eq!(table.updated().count(), 1);
        table.remove(1);
        table.remove_stored(2);
        let mut removed: Vec<_> = table.removed().collect();
        removed.sort_unstable();
        assert_eq!(removed, [&1, &2]);
    }

    #[test]
    fn a_changed_row_is_not_forgotten() {
        let mut table = StagedTable::default();
        table.insert_loaded(1, Some(10));
        table.put(2, 20);
        table.forget_loaded(&1);
        table.forget_loaded(&2);
        assert_eq!(table.known(&1), None);
        assert_eq!(table.known(&2), Some(Some(&20)));
    }
}
