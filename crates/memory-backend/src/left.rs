//! What messages that went with all others leave, until it is asked for.

use std::collections::{BTreeMap, HashMap};

use throughline_core::{AttachmentKey, MessageId, Seq};

/// The attachments of each message, by the place that it had.
#[derive(Clone, Default)]
pub(crate) struct Left {
    by_place: BTreeMap<Seq, (MessageId, Vec<AttachmentKey>)>,
    places: HashMap<MessageId, Seq>,
}

impl Left {
    pub(crate) fn insert(&mut self, seq: Seq, id: MessageId, attachments: Vec<AttachmentKey>) {
        self.places.insert(id.clone(), seq);
        self.by_place.insert(seq, (id, attachments));
    }

    /// What this message has left.
    pub(crate) fn of(&self, id: &MessageId) -> Option<(Seq, Vec<AttachmentKey>)> {
        let seq = self.places.get(id)?;
        self.by_place.get(seq).map(|(_, attachments)| (*seq, attachments.clone()))
    }

    pub(crate) fn remove(&mut self, id: &MessageId) {
        if let Some(seq) = self.places.remove(id) {
            self.by_place.remove(&seq);
        }
    }

    /// Takes the first.
    pub(crate) fn pop_first(&mut self) -> Option<(MessageId, Vec<AttachmentKey>)> {
        let (_, (id, attachments)) = self.by_place.pop_first()?;
        self.places.remove(&id);
        Some((id, attachments))
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = &MessageId> {
        self.by_place.values().map(|(id, _)| id)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_place.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_place.len()
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}
