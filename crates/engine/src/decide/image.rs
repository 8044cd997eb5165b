//! Row images of a primary, which replace the rows of a replica.
//!
//! Images arrive in the order of the last change of their rows. A row that an image refers to can be missing; it is then created.

use throughline_core::{
    Content, Message, MessageId, MessageState, Metadata, PersistError, Position, Revision, Role, Seq,
    ThreadId, Timestamp,
    backend::{Length, ThreadStats},
    messages::ContentChange,
    replication::{
        ConsumerImage, GoneImage, ImagePart, MessageImage, NameImage, SessionImage, SessionPart, ThreadImage,
    },
};

use super::{Decided, WriteScope};
use crate::{
    RowSource,
    rows::{
        AgentKey, AliasRow, AttemptKey, ConsumerKey, ConsumerRow, IdempotencyRow, IdempotencyRowKey,
        LastChange, LeftoverPurge, MessageRow, QuarantineKey, RangeKind, RuntimeKey, SessionHeadKey,
        SessionKey, ThreadRow,
    },
};

/// The image does not contain the position of its last change.
const CARRIED: LastChange = LastChange::Stored(0);

impl<S: RowSource> WriteScope<'_, S> {
    /// Applies one image. `is_new` states for an alias whether the store lacks it. Returns whether the floor of a thread
    /// increased, because it was cleared or deleted.
    pub(crate) fn put_image(&mut self, part: &ImagePart, is_new: bool) -> Decided<bool, S> {
        match part {
            ImagePart::Thread(image) => return self.put_thread_image(image),
            ImagePart::Message(image) => self.put_message_image(image)?,
            ImagePart::Gone(gone) => self.put_gone_image(gone)?,
            ImagePart::Name(image) if is_new => self.put_alias_image(image)?,
            ImagePart::Name(_) => {}
            ImagePart::Key(image) => {
                self.begin_thread(&image.thread, image.at)?;
                let (thread, key) = (self.thread_key(&image.thread), image.key.clone());
                let (fingerprint, replay) = (image.fingerprint, image.replay.clone());
                let row = IdempotencyRow { fingerprint, replay, created_at: image.at };
                self.rows.idempotency.put(IdempotencyRowKey { thread, key }, row);
            }
            ImagePart::Session(image) => self.put_session_image(image)?,
            ImagePart::Agent { agent, record } => {
                let key = AgentKey { tenant: self.tenant.clone(), agent: agent.clone() };
                self.rows.agents.put(key, *record);
            }
            ImagePart::Runtime { runtime, incarnation } => {
                let key = RuntimeKey { tenant: self.tenant.clone(), runtime: runtime.clone() };
                self.rows.runtimes.put(key, *incarnation);
            }
            ImagePart::Consumer(image) => self.put_consumer_image(image),
            // The store itself keeps the change feed and the audit log.
            ImagePart::Change(_) | ImagePart::Audit(_) => {}
            other => {
                let name = format_args!("the row image `{}`", other.as_str());
                return Err(PersistError::unsupported(name).into());
            }
        }
        Ok(false)
    }

    /// Returns the thread, or a new one without values from the host.
    fn thread_or_new(&mut self, thread: &ThreadId, at: Timestamp) -> Decided<ThreadRow, S> {
        let found = self.thread(thread)?;
        Ok(found.unwrap_or_else(|| ThreadRow::new(ThreadStats::implied(at))))
    }

    fn begin_thread(&mut self, thread: &ThreadId, at: Timestamp) -> Decided<(), S> {
        let state = self.thread_or_new(thread, at)?;
        self.put_thread(thread, state);
        Ok(())
    }

    fn put_thread_image(&mut self, image: &ThreadImage) -> Decided<bool, S> {
        let ThreadImage {
            thread,
            generation,
            deleted,
            floor,
            gone_seq,
            gone_at,
            gone_question,
            purgeable,
            facts,
        } = image;
        let before = self.thread_or_new(thread, *gone_at)?;
        let is_raised = *floor > before.floor;
        let live = match before.live {
            Some(_) if is_raised => Some(self.range(thread, RangeKind::All, *floor, u64::MAX)?.len() as u64),
            live => live,
        };
        let has_ended = *generation > before.generation || (*deleted && !before.deleted);
        // The primary has purged the thread and has no rows of it.
        if !purgeable && (before.purgeable || has_ended) {
            let thread = self.thread_key(thread);
            self.rows.leftover_purges.push(LeftoverPurge { thread, limit: u64::MAX });
        }
        let labels =
            |facts: Option<&ThreadStats>| facts.map(|facts| (facts.labels.clone(), facts.owner.clone()));
        if labels(before.summary.as_ref()) != labels(facts.as_ref()) {
            let thread = self.thread_key(thread);
            self.rows.relabeled.push(thread);
        }
        let row = ThreadRow {
            last_seq: before.last_seq.max(*gone_seq).max(*floor),
            floor: *floor,
            generation: *generation,
            live,
            aliases: before.aliases,
            removed_at: *gone_at,
            removed_question: (*gone_question > Seq::ZERO).then_some(*gone_question),
            deleted: *deleted,
            purgeable: *purgeable,
            summary: facts.clone(),
            order_is_damaged: before.order_is_damaged,
        };
        self.put_thread(thread, row);
        Ok(is_raised)
    }

    /// Returns the stored row of a message, and whether it is above the floor.
    fn stored(
        &mut self,
        thread: &ThreadId,
        id: &MessageId,
        floor: Seq,
    ) -> Decided<(Option<MessageRow>, bool), S> {
        let key = self.message_key(thread, id);
        let source = &mut *self.source;
        let found = self.rows.messages.get_or_load(&key, || source.message(&key))?.cloned();
        let is_live = found.as_ref().and_then(|row| row.seq).is_some_and(|seq| seq > floor);
        Ok((found, is_live))
    }

    fn put_message_image(&mut self, image: &MessageImage) -> Decided<(), S> {
        let MessageImage { message, replaced } = image;
        let Message { thread, id, .. } = message;
        let mut state = self.thread_or_new(thread, message.created_at)?;
        let (before, was_live) = self.stored(thread, id, state.floor)?;
        state.last_seq = state.last_seq.max(message.seq);
        if !was_live && message.seq > state.floor {
            state.add_live();
        }
        let last = before.map_or(0, |row| row.chunks);
        let key = self.message_key(thread, id);
        if last > 0 {
            self.rows.chunks.delete_below(&key, last + 1);
        }
        let mut row = MessageRow::new(message, CARRIED);
        row.replaced = *replaced;
        let empty = Content::empty();
        if message.state.is_open() && message.content != empty {
            // The whole content becomes the first chunk.
            let base = ContentChange::Replace(message.content.clone());
            row.length = Length::settled(&empty).after(&base);
            row.chunks = self.rows.chunks.append(&key, last, &base);
            row.first_chunk = row.chunks;
            self.rows.contents.put(key.clone(), empty);
        } else {
            self.rows.contents.put(key.clone(), message.content.clone());
        }
        self.index_again(&key, &row);
        self.rows.messages.put(key, row);
        self.put_thread(thread, state);
        Ok(())
    }

    /// Applies a removed message. Until it is purged, it keeps its sequence number and its attachments.
    fn put_gone_image(&mut self, gone: &GoneImage) -> Decided<(), S> {
        let GoneImage { thread, id, revision, left } = gone;
        let mut state = self.thread_or_new(thread, Timestamp::from_micros(0))?;
        let (before, was_live) = self.stored(thread, id, state.floor)?;
        if was_live {
            state.remove_live();
        }
        let key = self.message_key(thread, id);
        if let Some(before) = before.as_ref().filter(|before| before.chunks > 0) {
            self.rows.chunks.delete_below(&key, before.chunks + 1);
        }
        let mut row = before.unwrap_or_else(|| self.unknown(thread, id)).tombstone(CARRIED);
        row.revision = row.revision.max(*revision);
        if let Some((seq, attachments)) = left {
            state.last_seq = state.last_seq.max(*seq);
            row.seq = Some(*seq);
            row.state = MessageState::Abandoned;
            row.attachments.clone_from(attachments);
            self.rows.contents.put(key.clone(), Content::empty());
        } else {
            self.rows.contents.remove(key.clone());
        }
        self.index_again(&key, &row);
        self.rows.messages.put(key, row);
        self.put_thread(thread, state);
        Ok(())
    }

    /// Returns the row of a message of which only the id is known.
    fn unknown(&self, thread: &ThreadId, id: &MessageId) -> MessageRow {
        let message = Message {
            tenant: self.tenant.clone(),
            thread: thread.clone(),
            id: id.clone(),
            seq: Seq::ZERO,
            role: Role::User,
            state: MessageState::Abandoned,
            revision: Revision::FIRST,
            content: Content::empty(),
            metadata: Metadata::new(),
            attachments: Vec::new(),
            abandon_reason: None,
            lease: None,
            created_at: Timestamp::from_micros(0),
            updated_at: Timestamp::from_micros(0),
        };
        MessageRow::new(&message, CARRIED)
    }

    fn put_alias_image(&mut self, image: &NameImage) -> Decided<(), S> {
        let NameImage { thread, generation, known } = image;
        let mut state = self.thread_or_new(thread, Timestamp::from_micros(0))?;
        state.aliases += 1;
        let (key, number) = (self.thread_key(thread), state.aliases);
        self.rows.aliases.push(AliasRow {
            thread: key,
            number,
            generation: *generation,
            known: known.clone(),
        });
        self.put_thread(thread, state);
        Ok(())
    }

    fn put_session_image(&mut self, image: &SessionImage) -> Decided<(), S> {
        let SessionImage { thread, agent, incarnation, part } = image;
        self.begin_thread(thread, Timestamp::from_micros(0))?;
        let head = SessionHeadKey {
            thread: self.thread_key(thread),
            agent: agent.clone(),
            incarnation: *incarnation,
        };
        match part {
            SessionPart::Head(row) => self.rows.session_heads.put(head, (**row).clone()),
            SessionPart::Known(row) => {
                self.rows.sessions.put(SessionKey { head, session: row.id.clone() }, (**row).clone());
            }
            SessionPart::Attempt(row) => {
                let attempt = row.attempt.id.clone();
                self.rows.attempts.put(AttemptKey { head, attempt }, (**row).clone());
            }
        }
        Ok(())
    }

    fn put_consumer_image(&mut self, image: &ConsumerImage) {
        let ConsumerImage { consumer, position, quarantined } = image;
        let key = ConsumerKey { tenant: self.tenant.clone(), consumer: consumer.clone() };
        self.cut_quarantine(&key, Position::ZERO);
        for change in quarantined {
            let key = QuarantineKey { consumer: key.clone(), position: change.position };
            self.rows.quarantine.put(key, change.clone());
        }
        self.rows.consumers.put(key, ConsumerRow { position: *position });
    }
}
