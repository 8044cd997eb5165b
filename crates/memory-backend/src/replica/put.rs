//! Images put in their places.

use std::sync::Arc;

use throughline_core::{
    Generation, Message, Seq,
    backend::ThreadFacts,
    replica::{GoneImage, Image, ImagePart, SessionPart, ThreadImage},
};

use super::capture::{Entity, Mark};
use crate::{
    facts::Facts,
    sessions::SessionRow,
    store::{Store, log},
    thread::{Row, ThreadLog, UsedKey},
};

impl Store {
    /// Puts one thing in its place, over what is there.
    pub(super) fn put(&mut self, image: Image) {
        let Image { tenant, part } = image;
        let threads = self.tenants.entry(tenant.clone()).or_default();
        let thread = match part {
            ImagePart::Thread(image) => {
                let thread = image.thread.clone();
                log(threads, &thread).put_thread(*image);
                thread
            }
            ImagePart::Message(message) => {
                let thread = message.thread.clone();
                log(threads, &thread).put_message(*message);
                thread
            }
            ImagePart::Gone(gone) => {
                let thread = gone.thread.clone();
                log(threads, &thread).put_gone(gone);
                thread
            }
            ImagePart::Name(image) => {
                let log = log(threads, &image.thread);
                let name = (image.generation, image.known);
                if !log.is_past(image.generation) && !log.names.contains(&name) {
                    log.marks.push(Mark::Name(log.names.len()));
                    log.names.push(name);
                }
                image.thread
            }
            ImagePart::Key(image) => {
                let log = log(threads, &image.thread);
                log.marks.push(Mark::Key(image.key.clone()));
                let (fingerprint, replay, at) = (image.fingerprint, image.replay, image.at);
                log.keys.insert(image.key, UsedKey { fingerprint, replay, at });
                image.thread
            }
            ImagePart::Session(image) => {
                let log = log(threads, &image.thread);
                if log.facts.as_ref().is_some_and(|facts| facts.deleted) {
                    return;
                }
                let whose = (image.agent, image.incarnation);
                let kept = Arc::make_mut(log.sessions.entry(whose.clone()).or_default());
                let row = match image.part {
                    SessionPart::Head(head) => {
                        kept.put_head(&head);
                        SessionRow::Head
                    }
                    SessionPart::Known(known) => {
                        kept.put_session(&known);
                        SessionRow::Known(known.id)
                    }
                    SessionPart::Attempt(record) => {
                        kept.put_attempt(&record);
                        SessionRow::Attempt(record.attempt.number)
                    }
                };
                log.marks.push(Mark::Session(whose, row));
                image.thread
            }
            ImagePart::Agent { agent, record } => {
                self.whole.agents.insert((tenant.clone(), agent.clone()), record);
                return self.touch(Entity::Agent(tenant, agent));
            }
            ImagePart::Runtime { runtime, incarnation } => {
                self.whole.runtimes.insert((tenant.clone(), runtime.clone()), incarnation);
                return self.touch(Entity::Runtime(tenant, runtime));
            }
            ImagePart::Consumer(image) => {
                let consumer = image.consumer.clone();
                self.consumers.put(&tenant, image);
                return self.mark_consumer(&tenant, consumer);
            }
            ImagePart::Change(change) => return self.journal.carry(*change),
            ImagePart::Audit(entry) => return self.audit.carry(*entry),
            // Made by a newer version, and carried by one: what is not known here cannot be kept.
            _ => return,
        };
        self.mark(&tenant, &thread);
    }

    fn touch(&mut self, entity: Entity) {
        if let Some(capture) = &mut self.capture {
            capture.touch(entity);
        }
    }
}

impl ThreadLog {
    /// Whether names of this generation count no more. Another store keeps them until they are purged; here they go at once.
    fn is_past(&self, generation: Generation) -> bool {
        self.facts.as_ref().is_some_and(|facts| facts.deleted || generation < facts.generation)
    }

    fn put_message(&mut self, message: Message) {
        self.marks.push(Mark::Message(message.id.clone()));
        let seq = message.seq;
        self.last_seq = self.last_seq.max(seq);
        if seq <= self.floor {
            return;
        }
        // Said in its own image, which may come later.
        self.facts.get_or_insert_with(|| Facts::new(ThreadFacts::implied(message.created_at)));
        self.ids.insert(message.id.clone(), Some(seq));
        if message.state.is_open() {
            self.open.insert(seq);
        } else {
            self.open.remove(&seq);
        }
        self.rows.insert(seq, Arc::new(Row::new(message)));
    }

    fn put_gone(&mut self, gone: GoneImage) {
        let GoneImage { thread: _, id, left } = gone;
        self.marks.push(Mark::Message(id.clone()));
        if let Some(Some(seq)) = self.ids.insert(id.clone(), None) {
            self.last_seq = self.last_seq.max(seq);
            self.rows.remove(&seq);
            self.open.remove(&seq);
        }
        self.left.remove(&id);
        if let Some((seq, attachments)) = left {
            self.last_seq = self.last_seq.max(seq);
            self.left.insert(seq, id, attachments);
        }
    }

    fn put_thread(&mut self, image: ThreadImage) {
        let ThreadImage {
            thread: _,
            generation,
            deleted,
            floor,
            gone_seq,
            gone_at,
            gone_question,
            purgeable,
            facts,
        } = image;
        self.last_seq = self.last_seq.max(gone_seq).max(floor);
        self.floor = floor;
        let above = self.rows.split_off(&floor.next());
        for (seq, row) in std::mem::replace(&mut self.rows, above) {
            self.open.remove(&seq);
            self.ids.insert(row.message.id.clone(), None);
            self.left.insert(seq, row.message.id.clone(), row.message.attachments.clone());
        }
        if !purgeable {
            self.left.clear();
        }
        if deleted {
            self.ids.clear();
            self.names.clear();
            self.sessions.clear();
        }
        self.names.retain(|(of, _)| *of >= generation);
        let said = facts.unwrap_or_else(|| ThreadFacts::implied(gone_at));
        let gone_question = (gone_question > Seq::ZERO).then_some(gone_question);
        self.facts = Some(Facts { said, deleted, generation, gone_at, gone_question });
    }
}
