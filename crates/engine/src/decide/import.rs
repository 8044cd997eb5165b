//! The import of messages.

use throughline_core::{
    MessageId, Role, Seq, ThreadId,
    backend::{names::KnownName, rules},
    changes::ChangeKind,
    messages::{Alias, Import, Imported, ImportedRow, Origin},
};

use super::{
    Decided, WriteScope,
    add::{Begin, expect_first_revision},
    load::last_seq,
    repair::Readable,
};
use crate::{
    Halt, RowSource,
    rows::{AliasRow, MessageRow},
};

impl<S: RowSource> WriteScope<'_, S> {
    /// Adds the missing messages. It skips a message that exists, and one that was deleted unless the thread reuses ids.
    pub(super) fn import(&mut self, import: &Import) -> Decided<Imported, S> {
        let thread = &import.thread;
        rules::check_import(import)?;
        if !import.is_copy() {
            for row in &import.rows {
                self.check_length(row.content.byte_len() as u64, thread, &row.id)?;
            }
        }
        self.prefetch_import(import)?;
        let mut rows = Vec::with_capacity(import.rows.len());
        let mut is_repaired = false;
        for (index, row) in import.rows.iter().enumerate() {
            let begin = match self.readable(thread, &row.id, import.restores_damaged)? {
                Readable::Tombstone(deleted) => match self.begin_after(thread, &row.id, &deleted)? {
                    Some(begin) => begin,
                    None => {
                        rows.push(ImportedRow::Gone);
                        continue;
                    }
                },
                Readable::Missing => {
                    let state = self.living(thread)?;
                    Begin::new(last_seq(state.as_ref(), thread)?.next())
                }
                Readable::Message(there) => {
                    let is_same = row.is_same_as(&there);
                    rows.push(if is_same {
                        ImportedRow::Present(there.seq)
                    } else {
                        ImportedRow::Differs(there.seq)
                    });
                    continue;
                }
                Readable::Damaged(damaged) => {
                    is_repaired = true;
                    rows.push(self.restore(thread, row, &damaged));
                    continue;
                }
            };
            expect_first_revision(import.revisions.get(index).copied(), &begin, thread, &row.id)?;
            let state = self.living(thread)?;
            let message = row.to_message(self.tenant, thread, begin.seq);
            self.insert(state, message, &begin, ChangeKind::Added)?;
            self.record_alias(thread, &row.id, row.role, &row.origin)?;
            rows.push(ImportedRow::Added(begin.seq));
        }
        if is_repaired {
            self.recount(thread)?;
        }
        Ok(Imported { thread: thread.clone(), rows, deduplicated: false })
    }

    /// Returns the beginning of a new message under the id of a deleted one. `None` if the import skips it.
    fn begin_after(
        &mut self,
        thread: &ThreadId,
        id: &MessageId,
        deleted: &MessageRow,
    ) -> Decided<Option<Begin>, S> {
        let has_attachments = !deleted.is_tombstone() && !deleted.attachments.is_empty();
        if has_attachments {
            return Ok(None);
        }
        let state = self.living(thread)?;
        self.begin_again(state.as_ref(), thread, id, deleted)
    }

    /// Requests every row and every content before the first is needed, so that a source that loads in round trips needs two of
    /// them.
    fn prefetch_import(&mut self, import: &Import) -> Decided<(), S> {
        // Also for a new thread: each row is looked up once the first message has created the thread.
        let floor = self.floor(&import.thread)?.unwrap_or(Seq::ZERO);
        // A repair looks for rows that the thread may have lost.
        let is_empty = !import.restores_damaged && self.never_had_a_message(&import.thread)?;
        let mut stopped = None;
        for row in &import.rows {
            let key = self.message_key(&import.thread, &row.id);
            if is_empty {
                self.rows.messages.insert_loaded(key, None);
                continue;
            }
            let source = &mut *self.source;
            match self.rows.messages.get_or_load(&key, || source.message(&key)) {
                Ok(Some(found)) if found.seq.is_some_and(|seq| seq > floor) => {
                    self.expect_content(&key);
                }
                // The code that needs a damaged row reports it.
                Ok(_) | Err(Halt::Refused(_)) => {}
                Err(Halt::Stopped(stop)) => stopped = Some(stop),
            }
        }
        stopped.map_or(Ok(()), |stop| Err(Halt::Stopped(stop)))
    }

    /// Records the provider alias of a message. The thread exists.
    pub(super) fn record_alias(
        &mut self,
        thread: &ThreadId,
        message: &MessageId,
        role: Role,
        origin: &Origin,
    ) -> Decided<(), S> {
        if origin.is_empty() {
            return Ok(());
        }
        let mut state = self.existing(thread)?;
        state.aliases += 1;
        let alias = Alias { message: message.clone(), role, origin: origin.clone() };
        self.rows.aliases.push(AliasRow {
            thread: self.thread_key(thread),
            number: state.aliases,
            generation: state.generation,
            known: KnownName { alias, seen: state.last_seq },
        });
        self.put_thread(thread, state);
        Ok(())
    }
}
