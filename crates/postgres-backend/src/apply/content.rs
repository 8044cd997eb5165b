//! A change of what a message says, or the end of it.

use throughline_core::{
    ContentChange, ContentUpdated, Happened, UpdateContent, UpdateMode,
    backend::{Length, rules},
};

use super::{Scope, insert::check_length, message::changed};
use crate::rows::{Found, Growth, MessageRow, Piece, ThreadRow};

impl Scope<'_> {
    pub(super) fn update_content(&mut self, update: &UpdateContent) -> Found<ContentUpdated> {
        let (state, before) = self.message(&update.thread, &update.id)?;
        let next = rules::transition(update, before.state, before.revision, before.lease, self.now)?;
        let mut row = MessageRow {
            state: next.state,
            revision: next.revision,
            lease: next.lease,
            updated_at: rules::updated_at(before.updated_at, self.now),
            ..before.clone()
        };
        let answer = ContentUpdated {
            thread: update.thread.clone(),
            id: update.id.clone(),
            revision: next.revision,
            state: next.state,
            deduplicated: false,
        };
        if next.state.is_open() {
            self.append(update, &mut row)?;
            if next.revision != before.revision {
                self.tell(&update.thread, Happened::Written(changed(&update.id, &row)));
            }
            let key = self.message_key(&update.thread, &update.id);
            self.rows.messages.put(key, row);
        } else {
            self.settle(update, state, &before, row)?;
        }
        Ok(answer)
    }

    /// Takes a piece of a message that stays open.
    fn append(&mut self, update: &UpdateContent, row: &mut MessageRow) -> Found<()> {
        if update.change.is_none() {
            return Ok(());
        }
        row.length = row.length.after(&update.change);
        self.check_change(update, row.length.bytes)?;
        row.pieces += 1;
        let key = self.message_key(&update.thread, &update.id);
        if matches!(update.change, ContentChange::Replace(_)) {
            row.first_piece = row.pieces;
            self.rows.spent.push((key.clone(), row.pieces));
        }
        self.rows.pieces.push(Piece::new(key, row.pieces, &update.change));
        Ok(())
    }

    /// Refuses a change that makes the content longer than the store or the call allows.
    fn check_change(&self, update: &UpdateContent, bytes: u64) -> Found<()> {
        let max = self.max_content_bytes.min(update.max_content_bytes.unwrap_or(u64::MAX));
        check_length(max, bytes, &update.thread, &update.id)
    }

    /// Gives a message its content, whole.
    fn settle(
        &mut self,
        update: &UpdateContent,
        mut state: ThreadRow,
        before: &MessageRow,
        mut row: MessageRow,
    ) -> Found<()> {
        let (thread, id) = (&update.thread, &update.id);
        let was_open = before.state.is_open();
        let content = match &update.change {
            ContentChange::Replace(content) => content.clone(),
            // What was taken piece by piece is not too large at its end.
            ContentChange::Append(delta) if delta.is_empty() => self.content(thread, id, before)?,
            ContentChange::Append(delta) => {
                if was_open {
                    self.check_change(update, before.length.after(&update.change).bytes)?;
                }
                let mut growth = Growth::new(self.content(thread, id, before)?);
                growth.push(delta);
                growth.content()
            }
        };
        if !update.change.is_none() {
            self.check_change(update, content.byte_len() as u64)?;
        }
        row.length = Length::settled(&content);
        let key = self.message_key(thread, id);
        if row.pieces > 0 {
            self.rows.spent.push((key.clone(), row.pieces + 1));
            (row.pieces, row.first_piece) = (0, 1);
        }
        if let UpdateMode::Abandon { reason } = &update.mode {
            row.abandon_reason.clone_from(reason);
        }
        let message = row.message(self.tenant, thread, id, content.clone());
        let facts = Self::facts(&mut state, thread)?;
        let what = match &update.mode {
            UpdateMode::Edit => {
                facts.tally.edited(before.length.bytes, &message);
                Happened::Edited
            }
            UpdateMode::Abandon { .. } => {
                facts.count(&message);
                Happened::Abandoned
            }
            UpdateMode::Final | UpdateMode::Partial => {
                facts.count(&message);
                Happened::Finished
            }
        };
        self.put_thread(thread, state);
        self.tell(thread, what(changed(id, &row)));
        self.rows.contents.put(key.clone(), content);
        self.rows.messages.put(key, row);
        Ok(())
    }
}
