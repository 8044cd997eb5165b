//! A change of the content of a message, or its end.

use throughline_core::{
    ErrorKind, PersistError, Revision,
    backend::{Length, rules},
    changes::ChangeKind,
    messages::{Batch, ContentChange, ContentUpdated, UpdateContent, UpdateMode},
};

use super::{Decided, WriteScope, add::expect_length, load::summary_mut, refusal};
use crate::{
    RowSource,
    rows::{ContentBuilder, MessageRow},
};

/// A message before the update.
struct Before {
    is_open: bool,
    revision: Revision,
    length: Length,
}

impl<S: RowSource> WriteScope<'_, S> {
    pub(super) fn update_content(&mut self, update: &UpdateContent) -> Decided<ContentUpdated, S> {
        let mut row = self.message(&update.thread, &update.id)?;
        let next = rules::transition(update, row.state, row.revision, row.lease, self.now)?;
        let before = Before { is_open: row.state.is_open(), revision: row.revision, length: row.length };
        (row.state, row.revision, row.lease) = (next.state, next.revision, next.lease);
        row.updated_at = rules::updated_at(row.updated_at, self.now);
        if next.state.is_open() {
            self.append(update, &mut row)?;
            // A heartbeat emits nothing.
            if next.revision != before.revision {
                row.last_change = self.next_change();
                self.emit(&update.thread, ChangeKind::Written(row.changed(&update.id)));
            }
            let key = self.message_key(&update.thread, &update.id);
            self.rows.messages.put(key, row);
        } else {
            self.settle(update, &before, row)?;
        }
        Ok(ContentUpdated {
            thread: update.thread.clone(),
            id: update.id.clone(),
            revision: next.revision,
            state: next.state,
            deduplicated: false,
        })
    }

    /// Stages a chunk of a message that stays open.
    fn append(&mut self, update: &UpdateContent, row: &mut MessageRow) -> Decided<(), S> {
        if update.change.is_none() {
            return Ok(());
        }
        row.length = row.length.after(&update.change);
        self.check_update(update, row.length.bytes)?;
        let key = self.message_key(&update.thread, &update.id);
        row.chunks = self.rows.chunks.append(&key, row.chunks, &update.change);
        if matches!(update.change, ContentChange::Replace(_)) {
            row.replace_content();
            row.first_chunk = row.chunks;
            self.rows.chunks.delete_below(&key, row.chunks);
        }
        Ok(())
    }

    /// Refuses content above the limit of the store or of the call. A change without content is not checked.
    fn check_update(&self, update: &UpdateContent, bytes: u64) -> Result<(), PersistError> {
        let max = self.limits.max_content_bytes.min(update.max_content_bytes.unwrap_or(u64::MAX));
        expect_length(bytes, max, &update.thread, &update.id)
    }

    /// Counts stored content that an item rewrites. Refuses an item, other than the first one, beyond the limit of a batch.
    fn expect_rewrite(&mut self, bytes: u64) -> Result<(), PersistError> {
        let (before, max) = (self.rewritten, Batch::MAX_REWRITTEN_BYTES);
        self.rewritten = before.saturating_add(bytes);
        if before > 0 && self.rewritten > max {
            let detail = format!(
                "the batch would rewrite {} bytes of stored content, and {max} are allowed: divide it",
                self.rewritten
            );
            return Err(refusal(ErrorKind::TooLarge, detail));
        }
        Ok(())
    }

    /// Stages a message with its whole content.
    fn settle(&mut self, update: &UpdateContent, before: &Before, mut row: MessageRow) -> Decided<(), S> {
        let (thread, id) = (&update.thread, &update.id);
        if matches!(update.change, ContentChange::Append(_)) {
            self.expect_rewrite(before.length.bytes)?;
        }
        let content = match &update.change {
            ContentChange::Replace(content) => {
                row.replace_content();
                content.clone()
            }
            // Content that was accepted chunk by chunk is within the limit at its end.
            ContentChange::Append(delta) if delta.is_empty() => self.content(thread, id, before.is_open)?,
            change @ ContentChange::Append(_) => {
                if before.is_open {
                    self.check_update(update, before.length.after(change).bytes)?;
                }
                let mut builder = ContentBuilder::new(self.content(thread, id, before.is_open)?);
                builder.push(change);
                builder.content()
            }
        };
        if !update.change.is_none() {
            self.check_update(update, content.byte_len() as u64)?;
        }
        let key = self.message_key(thread, id);
        if row.chunks > 0 {
            self.rows.chunks.delete_below(&key, row.chunks + 1);
            (row.chunks, row.first_chunk) = (0, 1);
        }
        if let UpdateMode::Abandon { reason } = &update.mode {
            row.abandon_reason.clone_from(reason);
        }
        row.length = Length::settled(&content);
        row.last_change = self.next_change();
        let message = row.message(self.tenant, thread, id, content);
        let mut state = self.existing(thread)?;
        let summary = summary_mut(&mut state, thread)?;
        let event = match &update.mode {
            UpdateMode::Edit => {
                summary.counters.edited(before.length.bytes, &message);
                ChangeKind::Edited
            }
            UpdateMode::Abandon { .. } => {
                summary.count(&message);
                ChangeKind::Abandoned
            }
            UpdateMode::Final | UpdateMode::Partial => {
                summary.count(&message);
                ChangeKind::Finished
            }
        };
        self.emit(thread, event(row.changed(id)));
        self.put_thread(thread, state);
        self.rows.contents.put(key.clone(), message.content);
        self.rows.messages.put(key, row);
        Ok(())
    }
}
