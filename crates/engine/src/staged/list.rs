/// Rows that a transaction only appends, in order.
#[derive(Debug)]
pub struct StagedList<T> {
    items: Vec<T>,
    kept: usize,
}

impl<T> Default for StagedList<T> {
    fn default() -> Self {
        Self { items: Vec::new(), kept: 0 }
    }
}

impl<T> StagedList<T> {
    /// Appends a row.
    pub fn push(&mut self, item: T) {
        self.items.push(item);
    }

    /// The rows.
    #[must_use]
    pub fn items(&self) -> &[T] {
        &self.items
    }

    /// The rows, by value.
    #[must_use]
    pub fn into_items(self) -> Vec<T> {
        self.items
    }

    /// The number of rows.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are no rows.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Sets a savepoint.
    pub const fn set_savepoint(&mut self) {
        self.kept = self.items.len();
    }

    /// Removes the rows since the savepoint.
    pub fn undo(&mut self) {
        self.items.truncate(self.kept);
    }
}
