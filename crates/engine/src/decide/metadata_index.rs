//! The entries of messages in the index of metadata. Without declared names, nothing is staged.

use throughline_core::Metadata;

use super::WriteScope;
use crate::rows::{IndexedMessage, MessageKey, MessageRow};

impl<S> WriteScope<'_, S> {
    /// Stages the entries of a new message.
    pub(super) fn index_new(&mut self, key: &MessageKey, row: &MessageRow) {
        if self.indexed.is_empty() {
            return;
        }
        let entries = IndexedMessage::of(row, self.indexed);
        if !entries.fields.is_empty() {
            self.rows.indexed.put(key.clone(), entries);
        }
    }

    /// Stages the entries of a stored message whose earlier entries are not known.
    pub(super) fn index_again(&mut self, key: &MessageKey, row: &MessageRow) {
        if !self.indexed.is_empty() {
            let entries = IndexedMessage::of(row, self.indexed);
            self.rows.indexed.put_over_stored(key.clone(), entries);
        }
    }

    /// Stages the entries of a message after a patch of its metadata, unless they are the same.
    pub(super) fn index_patched(&mut self, key: &MessageKey, before: &Metadata, row: &MessageRow) {
        let is_same =
            self.indexed.is_empty() || self.indexed.fields(before).eq(self.indexed.fields(&row.metadata));
        if !is_same {
            self.index_again(key, row);
        }
    }
}
