//! What each write does to a thread. Everything is checked before anything is changed.

use std::sync::Arc;

use throughline_core::{
    Add, Added, ChangedMessage, ContentUpdated, Delete, Deleted, ErrorKind, Happened, Import, Imported,
    ImportedRow, Message, MessageId, PersistError, Reserve, Reserved, Result, Seq, TenantId, ThreadId,
    Timestamp, Update, UpdateContent, UpdateMode, Updated,
    backend::{ThreadFacts, rules},
};

use crate::{
    facts::Facts,
    replica::Mark,
    thread::{Row, ThreadLog},
};

/// What a write did, as the changes tell it.
pub(crate) type Told = Vec<(ThreadId, Happened)>;

impl ThreadLog {
    pub(crate) fn add(
        &mut self,
        tenant: &TenantId,
        add: &Add,
        now: Timestamp,
        told: &mut Told,
    ) -> Result<Added> {
        self.check_alive(&add.thread)?;
        self.check_generation(add.generation)?;
        rules::expect_last(add.after, self.last_seq)?;
        let seq = self.next_seq(&add.thread, &add.id)?;
        let message = add.to_message(tenant, seq, now);
        self.insert(message.clone());
        told.push((add.thread.clone(), Happened::Added(changed(&message))));
        Ok(Added { message, deduplicated: false })
    }

    pub(crate) fn reserve(
        &mut self,
        tenant: &TenantId,
        reserve: &Reserve,
        now: Timestamp,
        told: &mut Told,
    ) -> Result<Reserved> {
        self.check_alive(&reserve.thread)?;
        self.check_generation(reserve.generation)?;
        rules::expect_last(reserve.after, self.last_seq)?;
        let seq = self.next_seq(&reserve.thread, &reserve.id)?;
        let message = reserve.to_message(tenant, seq, now);
        self.insert(message.clone());
        told.push((reserve.thread.clone(), Happened::Reserved(changed(&message))));
        Ok(Reserved { message, deduplicated: false })
    }

    /// Adds what is not there yet. Nothing of it can be refused once it has begun.
    pub(crate) fn import(&mut self, tenant: &TenantId, import: &Import, told: &mut Told) -> Result<Imported> {
        self.check_alive(&import.thread)?;
        rules::check_import(import)?;
        let mut rows = Vec::with_capacity(import.rows.len());
        for row in &import.rows {
            rows.push(match self.ids.get(&row.id) {
                Some(None) => ImportedRow::Gone,
                Some(Some(seq)) => {
                    let there = self.rows[seq].message();
                    if row.is_same_as(&there) {
                        ImportedRow::Present(*seq)
                    } else {
                        ImportedRow::Differs(*seq)
                    }
                }
                None => {
                    let message = row.to_message(tenant, &import.thread, self.last_seq.next());
                    told.push((import.thread.clone(), Happened::Added(changed(&message))));
                    let seq = message.seq;
                    self.insert(message);
                    self.name(&row.id, row.role, &row.origin);
                    ImportedRow::Added(seq)
                }
            });
        }
        Ok(Imported { thread: import.thread.clone(), rows, deduplicated: false })
    }

    pub(crate) fn update_content(
        &mut self,
        update: &UpdateContent,
        now: Timestamp,
        told: &mut Told,
    ) -> Result<ContentUpdated> {
        self.check_alive(&update.thread)?;
        let row = self.row_mut(&update.thread, &update.id)?;
        let next =
            rules::transition(update, row.message.state, row.message.revision, row.message.lease, now)?;
        check_length(update, row)?;
        let is_change = next.revision != row.message.revision;
        let bytes_before = row.message.content.byte_len() as u64;
        row.change(&update.change);
        row.message.state = next.state;
        row.message.revision = next.revision;
        row.message.lease = next.lease;
        row.message.updated_at = rules::updated_at(row.message.updated_at, now);
        if let UpdateMode::Abandon { reason } = &update.mode {
            row.message.abandon_reason.clone_from(reason);
        }
        let is_open = next.state.is_open();
        if !is_open {
            row.settle();
        }
        let message = row.message.clone();
        match update.mode {
            UpdateMode::Edit => self.facts_mut().said.tally.edited(bytes_before, &message),
            _ if !is_open => {
                self.open.remove(&message.seq);
                self.count(&message);
            }
            _ => {}
        }
        if is_change {
            let what = match &update.mode {
                UpdateMode::Partial => Happened::Written,
                UpdateMode::Final => Happened::Finished,
                UpdateMode::Abandon { .. } => Happened::Abandoned,
                UpdateMode::Edit => Happened::Edited,
            };
            told.push((update.thread.clone(), what(changed(&message))));
        }
        Ok(ContentUpdated {
            thread: update.thread.clone(),
            id: update.id.clone(),
            revision: next.revision,
            state: next.state,
            deduplicated: false,
        })
    }

    pub(crate) fn update(&mut self, update: &Update, now: Timestamp, told: &mut Told) -> Result<Updated> {
        self.check_alive(&update.thread)?;
        let Row { message, .. } = self.row_mut(&update.thread, &update.id)?;
        rules::expect_revision(update.expected, message.revision)
            .map_err(|error| error.about(&update.thread, &update.id))?;
        message.metadata.apply(&update.metadata);
        if let Some(attachments) = &update.attachments {
            message.attachments.clone_from(attachments);
        }
        message.updated_at = rules::updated_at(message.updated_at, now);
        let message = message.clone();
        self.facts_mut().said.tally.touched(&message);
        told.push((update.thread.clone(), Happened::Patched(changed(&message))));
        Ok(Updated {
            thread: update.thread.clone(),
            id: update.id.clone(),
            metadata: message.metadata,
            attachments: message.attachments,
            revision: message.revision,
            deduplicated: false,
        })
    }

    pub(crate) fn delete(&mut self, delete: &Delete, now: Timestamp, told: &mut Told) -> Result<Deleted> {
        self.check_alive(&delete.thread)?;
        let last_seq = self.last_seq;
        let Row { message, .. } = self.row_mut(&delete.thread, &delete.id)?;
        rules::expect_damaged(delete)?;
        rules::expect_revision(delete.expected, message.revision)
            .and_then(|()| rules::expect_last(delete.after, last_seq))
            .map_err(|error| error.about(&delete.thread, &delete.id))?;
        let message = message.clone();
        self.remove(&message);
        self.facts_mut().said.changed(now);
        told.push((delete.thread.clone(), Happened::Deleted(changed(&message))));
        Ok(Deleted {
            thread: delete.thread.clone(),
            id: delete.id.clone(),
            seq: message.seq,
            revision: message.revision,
            state: message.state,
            attachments: message.attachments,
            deduplicated: false,
        })
    }

    /// Takes a message away. Its id stays dead.
    pub(crate) fn remove(&mut self, message: &Message) {
        self.marks.push(Mark::Message(message.id.clone()));
        self.rows.remove(&message.seq);
        self.open.remove(&message.seq);
        self.ids.insert(message.id.clone(), None);
        self.uncount(message);
    }

    /// The place of a new message, if its id was never used.
    fn next_seq(&self, thread: &ThreadId, id: &MessageId) -> Result<Seq> {
        let refuse = |kind, detail| Err(PersistError::new(kind, detail).about(thread, id));
        match self.ids.get(id) {
            None => Ok(self.last_seq.next()),
            Some(Some(_)) => refuse(ErrorKind::AlreadyExists, "the thread has a message with this id"),
            Some(None) => {
                refuse(ErrorKind::Gone, "the thread had a message with this id, and it was deleted")
            }
        }
    }

    fn insert(&mut self, message: Message) {
        let seq = message.seq;
        self.last_seq = seq;
        self.marks.push(Mark::Message(message.id.clone()));
        self.ids.insert(message.id.clone(), Some(seq));
        self.facts.get_or_insert_with(|| Facts::new(ThreadFacts::implied(message.created_at)));
        if message.state.is_open() {
            self.open.insert(seq);
        } else {
            self.count(&message);
        }
        self.rows.insert(seq, Arc::new(Row::new(message)));
    }
}

/// Refuses a change that makes the content longer than the call allows. The store has no limit of its own.
fn check_length(update: &UpdateContent, row: &Row) -> Result<()> {
    let Some(max) = update.max_content_bytes.filter(|_| !update.change.is_none()) else { return Ok(()) };
    let bytes = row.byte_len_with(&update.change);
    if bytes <= max {
        return Ok(());
    }
    let detail = format!("the content would have {bytes} bytes, and {max} are allowed");
    Err(PersistError::new(ErrorKind::TooLarge, detail).about(&update.thread, &update.id))
}

fn changed(message: &Message) -> ChangedMessage {
    ChangedMessage { id: message.id.clone(), seq: message.seq, revision: message.revision }
}
