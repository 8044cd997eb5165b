use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
};

use super::{Found, Halt};

/// Rows of one table, as far as they are known in a transaction: what was read, and what the operations before have made of it.
///
/// A look-up of a row that was not read yet is answered with [`Halt::Unread`], and noted, so that it can be read with all others
/// that are missing.
#[derive(Debug)]
pub(crate) struct Table<K, V> {
    rows: HashMap<K, Slot<V>>,
    unread: HashSet<K>,
    /// What the present operation has changed, as it was.
    undo: Vec<(K, Option<Slot<V>>)>,
}

#[derive(Debug)]
struct Slot<V> {
    /// Nothing where there is no such row.
    row: Option<V>,
    is_changed: bool,
    /// Whether the table has it.
    is_there: bool,
    /// Nobody has looked whether the table has it.
    is_assumed: bool,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self { rows: HashMap::new(), unread: HashSet::new(), undo: Vec::new() }
    }
}

impl<K: Clone + Eq + Hash, V> Table<K, V> {
    /// The row, if there is one.
    ///
    /// # Errors
    /// `Unread`.
    pub(crate) fn get(&mut self, key: &K) -> Found<Option<&V>> {
        self.want(key);
        match self.rows.get(key) {
            Some(slot) => Ok(slot.row.as_ref()),
            None => Err(Halt::Unread),
        }
    }

    /// Notes that the row will be looked up.
    pub(crate) fn want(&mut self, key: &K) {
        if !self.rows.contains_key(key) {
            self.unread.insert(key.clone());
        }
    }

    /// Writes the row. One that was not read is new to the table.
    pub(crate) fn put(&mut self, key: K, row: V) {
        let is_there = self.rows.get(&key).is_some_and(|slot| slot.is_there);
        let slot = Slot { row: Some(row), is_changed: true, is_there, is_assumed: false };
        let before = self.rows.insert(key.clone(), slot);
        self.undo.push((key, before));
    }

    /// The keys that are to be read.
    pub(crate) fn take_unread(&mut self) -> Vec<K> {
        self.unread.drain().collect()
    }

    /// Takes what was read; what the transaction knows already is newer.
    pub(crate) fn read(&mut self, key: K, row: Option<V>) {
        self.unread.remove(&key);
        let is_there = row.is_some();
        self.rows.entry(key).or_insert(Slot { row, is_changed: false, is_there, is_assumed: false });
    }

    /// Takes it for certain that there is no such row. Whoever inserts one finds out whether that is so.
    pub(crate) fn assume_missing(&mut self, key: K) {
        let slot = Slot { row: None, is_changed: false, is_there: false, is_assumed: true };
        self.rows.entry(key).or_insert(slot);
    }

    /// Whether something was taken for missing that nobody is about to insert: what was decided may be wrong.
    pub(crate) fn has_assumed(&self) -> bool {
        self.rows.values().any(|slot| slot.is_assumed)
    }

    /// Everything that is known of rows that there are.
    pub(crate) fn known(&self) -> impl Iterator<Item = (&K, &V)> {
        self.rows.iter().filter_map(|(key, slot)| Some((key, slot.row.as_ref()?)))
    }

    /// What has to be written.
    pub(crate) fn changed(&self) -> impl Iterator<Item = (&K, &V)> {
        let changed = self.rows.iter().filter(|(_, slot)| slot.is_changed);
        changed.filter_map(|(key, slot)| Some((key, slot.row.as_ref()?)))
    }

    /// What has to be written, by whether the table has it already: what is new, and what is not.
    pub(crate) fn added_and_updated(&self) -> [Vec<(&K, &V)>; 2] {
        let (updated, added) = self.changed().partition(|(key, _)| self.rows[*key].is_there);
        [added, updated]
    }

    /// The present operation was applied.
    pub(crate) fn keep(&mut self) {
        self.undo.clear();
    }

    /// The present operation was not applied.
    pub(crate) fn undo(&mut self) {
        while let Some((key, before)) = self.undo.pop() {
            match before {
                Some(slot) => self.rows.insert(key, slot),
                None => self.rows.remove(&key),
            };
        }
    }
}

/// What is only ever added to in a transaction.
#[derive(Debug)]
pub(crate) struct Log<T> {
    items: Vec<T>,
    kept: usize,
}

impl<T> Default for Log<T> {
    fn default() -> Self {
        Self { items: Vec::new(), kept: 0 }
    }
}

impl<T> Log<T> {
    pub(crate) fn push(&mut self, item: T) {
        self.items.push(item);
    }

    pub(crate) fn items(&self) -> &[T] {
        &self.items
    }

    pub(crate) fn keep(&mut self) {
        self.kept = self.items.len();
    }

    pub(crate) fn undo(&mut self) {
        self.items.truncate(self.kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_read_is_noted_and_what_was_changed_is_newer_than_what_is_read() {
        let mut table = Table::default();
        assert!(matches!(table.get(&1), Err(Halt::Unread)));
        assert_eq!(table.take_unread(), [1]);
        table.read(1, Some("read"));
        table.read(2, None);
        assert_eq!(table.get(&1).ok(), Some(Some(&"read")));
        assert_eq!(table.get(&2).ok(), Some(None));
        table.put(2, "made");
        table.read(2, Some("read late"));
        assert_eq!(table.get(&2).ok(), Some(Some(&"made")));
        assert_eq!(table.changed().collect::<Vec<_>>(), [(&2, &"made")]);
        assert!(table.take_unread().is_empty());
        table.put(1, "changed");
        table.put(2, "made anew");
        assert_eq!(table.added_and_updated(), [[(&2, &"made anew")], [(&1, &"changed")]]);
    }

    #[test]
    fn what_is_assumed_to_be_missing_is_certain_once_it_is_inserted() {
        let mut table = Table::default();
        table.assume_missing(1);
        assert_eq!(table.get(&1).ok(), Some(None));
        assert!(table.has_assumed());
        table.put(1, "made");
        assert!(!table.has_assumed());
        table.undo();
        assert!(table.has_assumed());
        table.read(2, Some("read"));
        table.assume_missing(2);
        assert_eq!(table.get(&2).ok(), Some(Some(&"read")));
    }

    #[test]
    fn an_operation_that_is_undone_leaves_what_was_kept_before() {
        let (mut table, mut log) = (Table::default(), Log::default());
        table.read(1, Some(10));
        table.put(1, 11);
        log.push('a');
        table.keep();
        log.keep();
        table.put(1, 12);
        table.put(1, 13);
        table.put(3, 30);
        log.push('b');
        table.undo();
        log.undo();
        assert_eq!(table.get(&1).ok(), Some(Some(&11)));
        assert!(matches!(table.get(&3), Err(Halt::Unread)));
        assert_eq!(log.items(), ['a']);
    }
}
