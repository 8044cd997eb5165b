//! What each write does to a thread. Everything is checked before anything is changed.

use std::sync::Arc;

use throughline_core::{
    Add, Added, ContentUpdated, Delete, Deleted, ErrorKind, Message, MessageId, PersistError, Reserve,
    Reserved, Result, Seq, TenantId, ThreadId, Timestamp, Update, UpdateContent, UpdateMode, Updated,
    backend::rules,
};

use crate::thread::{Row, ThreadLog};

impl ThreadLog {
    pub(crate) fn add(&mut self, tenant: &TenantId, add: &Add, now: Timestamp) -> Result<Added> {
        let seq = self.next_seq(&add.thread, &add.id)?;
        let message = add.to_message(tenant, seq, now);
        self.insert(message.clone());
        Ok(Added { message, deduplicated: false })
    }

    pub(crate) fn reserve(
        &mut self,
        tenant: &TenantId,
        reserve: &Reserve,
        now: Timestamp,
    ) -> Result<Reserved> {
        let seq = self.next_seq(&reserve.thread, &reserve.id)?;
        let message = reserve.to_message(tenant, seq, now);
        self.insert(message.clone());
        Ok(Reserved { message, deduplicated: false })
    }

    pub(crate) fn update_content(
        &mut self,
        update: &UpdateContent,
        now: Timestamp,
    ) -> Result<ContentUpdated> {
        let row = self.row_mut(&update.thread, &update.id)?;
        let next =
            rules::transition(update, row.message.state, row.message.revision, row.message.lease, now)?;
        row.change(&update.change);
        row.message.state = next.state;
        row.message.revision = next.revision;
        row.message.lease = next.lease;
        row.message.updated_at = rules::updated_at(row.message.updated_at, now);
        if let UpdateMode::Abandon { reason } = &update.mode {
            row.message.abandon_reason.clone_from(reason);
        }
        let seq = row.message.seq;
        if !next.state.is_open() {
            row.settle();
            self.open.remove(&seq);
        }
        Ok(ContentUpdated {
            thread: update.thread.clone(),
            id: update.id.clone(),
            revision: next.revision,
            state: next.state,
            deduplicated: false,
        })
    }

    pub(crate) fn update(&mut self, update: &Update, now: Timestamp) -> Result<Updated> {
        let Row { message, .. } = self.row_mut(&update.thread, &update.id)?;
        rules::expect_revision(update.expected, message.revision)
            .map_err(|error| error.about(&update.thread, &update.id))?;
        message.metadata.apply(&update.metadata);
        if let Some(attachments) = &update.attachments {
            message.attachments.clone_from(attachments);
        }
        message.updated_at = rules::updated_at(message.updated_at, now);
        Ok(Updated {
            thread: update.thread.clone(),
            id: update.id.clone(),
            metadata: message.metadata.clone(),
            attachments: message.attachments.clone(),
            revision: message.revision,
            deduplicated: false,
        })
    }

    pub(crate) fn delete(&mut self, delete: &Delete) -> Result<Deleted> {
        let Row { message, .. } = self.row_mut(&delete.thread, &delete.id)?;
        rules::expect_revision(delete.expected, message.revision)
            .map_err(|error| error.about(&delete.thread, &delete.id))?;
        let deleted = Deleted {
            thread: delete.thread.clone(),
            id: delete.id.clone(),
            seq: message.seq,
            revision: message.revision,
            state: message.state,
            attachments: message.attachments.clone(),
            deduplicated: false,
        };
        self.rows.remove(&deleted.seq);
        self.open.remove(&deleted.seq);
        self.ids.insert(delete.id.clone(), None);
        Ok(deleted)
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
        self.ids.insert(message.id.clone(), Some(seq));
        if message.state.is_open() {
            self.open.insert(seq);
        }
        self.rows.insert(seq, Arc::new(Row::new(message)));
    }
}
