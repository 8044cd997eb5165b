//! One thread: its rows in order, the ids that it has or has had, the keys that were used in it, what it is called.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use crate::{facts::Facts, left::Left, replica::Mark, sessions::Sessions};
use throughline_core::{
    ContentBuffer, ContentChange, Fingerprint, Generation, IdempotencyKey, Message, MessageId, PersistError,
    Result, Seq, ThreadId, Timestamp,
    backend::{Replay, names::KnownName},
};

/// A clone copies no row, so that a batch may keep the thread as it was.
#[derive(Clone, Default)]
pub(crate) struct ThreadLog {
    pub(crate) last_seq: Seq,
    pub(crate) rows: BTreeMap<Seq, Arc<Row>>,
    /// Where each id is; nothing for one that was deleted, which stays dead.
    pub(crate) ids: HashMap<MessageId, Option<Seq>>,
    /// The rows that a writer may still be at work on.
    pub(crate) open: BTreeSet<Seq>,
    pub(crate) keys: HashMap<IdempotencyKey, UsedKey>,
    /// The last place that went when the thread was cleared or deleted.
    pub(crate) floor: Seq,
    /// The attachments of each message that went with all others, until they are asked for.
    pub(crate) left: Left,
    /// By what names its messages are known, in the order in which they were taken down.
    pub(crate) names: Vec<(Generation, KnownName)>,
    /// What is said of the thread as a whole, from its first write on.
    pub(crate) facts: Option<Facts>,
    /// The sessions of agents in it.
    pub(crate) sessions: Sessions,
    /// What was touched since it was last asked.
    pub(crate) marks: Vec<Mark>,
}

/// What is kept under an idempotency key.
#[derive(Clone)]
pub(crate) struct UsedKey {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) replay: Replay,
    pub(crate) at: Timestamp,
}

/// A message, whose content grows in place so that an append costs what it appends.
#[derive(Clone)]
pub(crate) struct Row {
    /// The message; while there is growth, with the content that it grew from.
    pub(crate) message: Message,
    growth: Option<ContentBuffer>,
}

impl Row {
    pub(crate) const fn new(message: Message) -> Self {
        Self { message, growth: None }
    }

    /// The message as it stands.
    pub(crate) fn message(&self) -> Message {
        let mut message = self.message.clone();
        if let Some(growth) = &self.growth {
            message.content = growth.content();
        }
        message
    }

    pub(crate) fn change(&mut self, change: &ContentChange) {
        match change {
            ContentChange::Replace(content) => {
                self.message.content = content.clone();
                self.growth = None;
            }
            // Content that nothing is appended to keeps its bytes.
            ContentChange::Append(delta) if delta.is_empty() => {}
            ContentChange::Append(delta) => {
                let Self { message, growth } = self;
                growth.get_or_insert_with(|| ContentBuffer::new(&message.content)).push(delta);
            }
        }
    }

    /// How many bytes of JSON the content would have after this change.
    pub(crate) fn byte_len_with(&self, change: &ContentChange) -> u64 {
        let bytes = match (change, &self.growth) {
            (ContentChange::Replace(content), _) => content.byte_len(),
            (ContentChange::Append(delta), Some(growth)) => growth.byte_len_with(delta),
            (ContentChange::Append(delta), None) => {
                ContentBuffer::new(&self.message.content).byte_len_with(delta)
            }
        };
        bytes as u64
    }

    /// Lets go of the room to grow, once nothing is appended any more.
    pub(crate) fn settle(&mut self) {
        if let Some(growth) = self.growth.take() {
            self.message.content = growth.content();
        }
    }
}

impl ThreadLog {
    /// The message as it stands.
    pub(crate) fn message(&self, id: &MessageId) -> Option<Message> {
        let seq = (*self.ids.get(id)?)?;
        self.rows.get(&seq).map(|row| row.message())
    }

    /// The row of `id`, to be changed.
    pub(crate) fn row_mut(&mut self, thread: &ThreadId, id: &MessageId) -> Result<&mut Row> {
        let seq = self.ids.get(id).copied().flatten();
        match seq.and_then(|seq| self.rows.get_mut(&seq)) {
            Some(row) => {
                self.marks.push(Mark::Message(id.clone()));
                Ok(Arc::make_mut(row))
            }
            None => Err(PersistError::not_found(thread, id)),
        }
    }
}
