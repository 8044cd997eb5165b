//! What is kept, as images.

use throughline_core::{
    Images, ReadImages, Result, Seq, ThreadId, Timestamp,
    backend::following,
    replica::{
        GoneImage, Image, ImageCursor, ImagePart, KeyImage, NameImage, SessionImage, SessionPart, ThreadImage,
    },
};

use super::capture::{Entity, Mark};
use crate::{
    sessions::SessionRow,
    store::Store,
    thread::{ThreadLog, UsedKey},
};

impl Store {
    pub(crate) fn images(&self, read: &ReadImages, now: Timestamp) -> Result<Images> {
        let after = read.after;
        following::expect_capture(self.capture.as_ref().map(|capture| capture.id), after)?;
        let mut page = Page { images: Vec::new(), bytes: 0, limit: read.limit as usize };
        let mut cursor = ImageCursor { changes: after.changes.max(self.journal.kept_after), ..after };
        let touched = self.capture.iter().flat_map(|capture| capture.touched.range(after.touched + 1..));
        for (n, entity) in touched {
            if page.is_full() {
                break;
            }
            cursor.touched = *n;
            page.push(self.image(entity));
        }
        for change in self.journal.after(cursor.changes) {
            if page.is_full() {
                break;
            }
            cursor.changes = change.position;
            let image = Image::new(change.tenant.clone(), ImagePart::Change(Box::new(change.clone())));
            page.push(Some(image));
        }
        for entry in self.audit.after(cursor.audit) {
            if page.is_full() {
                break;
            }
            cursor.audit = entry.number;
            let image = Image::new(entry.record.tenant.clone(), ImagePart::Audit(Box::new(entry.clone())));
            page.push(Some(image));
        }
        let more =
            self.capture.iter().any(|capture| capture.touched.range(cursor.touched + 1..).next().is_some())
                || self.journal.after(cursor.changes).next().is_some()
                || !self.audit.after(cursor.audit).is_empty();
        if !more && self.stance.leads() {
            // Also what tells nothing has its place among the commits.
            cursor.changes = self.journal.position;
        }
        Ok(Images {
            images: page.images,
            cursor,
            more,
            position: self.journal.position,
            kept_after: self.journal.kept_after,
            damaged: Vec::new(),
            at: now,
        })
    }

    /// A thing as it is now; nothing where it is not there any more and something else says so.
    fn image(&self, entity: &Entity) -> Option<Image> {
        let (tenant, part) = match entity {
            Entity::OfThread(tenant, thread, mark) => {
                let log = self.tenants.get(tenant)?.get(thread)?;
                (tenant, log.image(thread, mark)?)
            }
            Entity::Agent(tenant, agent) => {
                let record = *self.whole.agents.get(&(tenant.clone(), agent.clone()))?;
                (tenant, ImagePart::Agent { agent: agent.clone(), record })
            }
            Entity::Runtime(tenant, runtime) => {
                let incarnation = *self.whole.runtimes.get(&(tenant.clone(), runtime.clone()))?;
                (tenant, ImagePart::Runtime { runtime: runtime.clone(), incarnation })
            }
            Entity::Consumer(tenant, consumer) => {
                (tenant, ImagePart::Consumer(self.consumers.image(tenant, consumer)?))
            }
        };
        Some(Image::new(tenant.clone(), part))
    }
}

/// An answer that is being filled.
struct Page {
    images: Vec<Image>,
    bytes: usize,
    limit: usize,
}

impl Page {
    fn is_full(&self) -> bool {
        self.images.len() >= self.limit || self.bytes >= ReadImages::MAX_BYTES
    }

    fn push(&mut self, image: Option<Image>) {
        self.bytes += image.as_ref().map_or(0, Image::weight);
        self.images.extend(image);
    }
}

impl ThreadLog {
    fn image(&self, thread: &ThreadId, mark: &Mark) -> Option<ImagePart> {
        let thread = thread.clone();
        Some(match mark {
            Mark::Thread => ImagePart::Thread(Box::new(self.thread_image(thread)?)),
            Mark::Message(id) => {
                let left = self.left.of(id);
                match (self.ids.get(id), left) {
                    (Some(Some(_)), _) => ImagePart::Message(Box::new(self.message(id)?)),
                    (None, None) => return None,
                    (_, left) => ImagePart::Gone(GoneImage { thread, id: id.clone(), left }),
                }
            }
            Mark::Name(number) => {
                let (generation, known) = self.names.get(*number)?.clone();
                ImagePart::Name(Box::new(NameImage { thread, generation, known }))
            }
            Mark::Key(key) => {
                let UsedKey { fingerprint, replay, at } = self.keys.get(key)?.clone();
                ImagePart::Key(Box::new(KeyImage { thread, key: key.clone(), fingerprint, replay, at }))
            }
            Mark::Session(whose, row) => {
                let kept = self.sessions.get(whose)?;
                let part = match row {
                    SessionRow::Head => SessionPart::Head(Box::new(kept.head.clone()?)),
                    SessionRow::Known(id) => SessionPart::Known(Box::new(kept.known.get(id)?.clone())),
                    SessionRow::Attempt(number) => {
                        SessionPart::Attempt(Box::new((**kept.attempts.get(number)?).clone()))
                    }
                };
                let (agent, incarnation) = whose.clone();
                ImagePart::Session(Box::new(SessionImage { thread, agent, incarnation, part }))
            }
        })
    }

    fn thread_image(&self, thread: ThreadId) -> Option<ThreadImage> {
        let facts = self.facts.as_ref()?;
        Some(ThreadImage {
            thread,
            generation: facts.generation,
            deleted: facts.deleted,
            floor: self.floor,
            gone_seq: if self.rows.contains_key(&self.last_seq) { Seq::ZERO } else { self.last_seq },
            gone_at: facts.gone_at,
            gone_question: facts.gone_question.unwrap_or(Seq::ZERO),
            purgeable: !self.left.is_empty(),
            facts: (!facts.deleted).then(|| facts.said.clone()),
        })
    }
}
