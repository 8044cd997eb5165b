//! Reads rows as row images.

use throughline_core::{
    Result, Timestamp,
    backend::replication_rules,
    replication::{
        ConsumerImage, Image, ImageCursor, ImagePart, Images, KeyImage, NameImage, ReadImages, SessionImage,
        SessionPart,
    },
};
use throughline_engine::{
    read as engine_read,
    rows::{AttemptKey, IdempotencyRow, SessionHeadKey, SessionKey, ThreadKey},
    staged::ChangedRow,
};

use crate::{store::Store, thread::Stored};

impl Store {
    pub(crate) fn images(&self, read: &ReadImages, now: Timestamp) -> Result<Images> {
        let after = read.after;
        replication_rules::expect_capture(self.capture.as_ref().map(|capture| capture.id), after)?;
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
        if !more && self.replication_state.is_primary() {
            // A commit without an event takes a position too.
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

    /// Returns the image of a row in its current state. A deleted row has no image; the image of its thread covers it.
    fn image(&self, row: &ChangedRow) -> Option<Image> {
        let in_thread = |key: &ThreadKey, part| (key.tenant.clone(), part);
        let session = |head: &SessionHeadKey, part| {
            let (thread, agent, incarnation) =
                (head.thread.thread.clone(), head.agent.clone(), head.incarnation);
            let image = SessionImage { thread, agent, incarnation, part };
            (head.thread.tenant.clone(), ImagePart::Session(Box::new(image)))
        };
        let (tenant, part) = match row {
            ChangedRow::Thread(key) => {
                let thread = self.thread_of(key)?;
                let has_last = thread.order.contains_key(&thread.row.last_seq);
                let image = engine_read::thread_image(&key.thread, &thread.row, has_last);
                in_thread(key, ImagePart::Thread(Box::new(image)))
            }
            ChangedRow::Message(key) => {
                let thread = self.thread_of(&key.thread)?;
                let Stored { row, content, .. } = thread.messages.get(&key.id)?;
                let image = engine_read::message_image(key, row, thread.row.floor, content.content());
                in_thread(&key.thread, image)
            }
            ChangedRow::Alias { thread: key, number } => {
                let (generation, known) = self.thread_of(key)?.aliases.get(number)?.clone();
                let image = NameImage { thread: key.thread.clone(), generation, known };
                in_thread(key, ImagePart::Name(Box::new(image)))
            }
            ChangedRow::Idempotency(key) => {
                let IdempotencyRow { fingerprint, replay, created_at } =
                    self.thread_of(&key.thread)?.keys.get(&key.key)?.clone();
                let (thread, used) = (key.thread.thread.clone(), key.key.clone());
                let image = KeyImage { thread, key: used, fingerprint, replay, at: created_at };
                in_thread(&key.thread, ImagePart::Key(Box::new(image)))
            }
            ChangedRow::SessionHead(key) => {
                session(key, SessionPart::Head(Box::new(self.sessions_of(key)?.head.clone()?)))
            }
            ChangedRow::Session(SessionKey { head, session: id }) => {
                session(head, SessionPart::Known(Box::new(self.sessions_of(head)?.known.get(id)?.clone())))
            }
            ChangedRow::Attempt(AttemptKey { head, attempt }) => session(
                head,
                SessionPart::Attempt(Box::new(self.sessions_of(head)?.attempt(attempt)?.clone())),
            ),
            ChangedRow::Agent(key) => {
                let record = *self.agents.get(key)?;
                (key.tenant.clone(), ImagePart::Agent { agent: key.agent.clone(), record })
            }
            ChangedRow::Runtime(key) => {
                let incarnation = *self.runtimes.get(key)?;
                (key.tenant.clone(), ImagePart::Runtime { runtime: key.runtime.clone(), incarnation })
            }
            ChangedRow::Consumer(key) => {
                let kept = self.consumers.get(key)?;
                let quarantined = kept.quarantined.values().cloned().collect();
                let (consumer, position) = (key.consumer.clone(), kept.row.position);
                (key.tenant.clone(), ImagePart::Consumer(ConsumerImage { consumer, position, quarantined }))
            }
        };
        Some(Image::new(tenant, part))
    }
}

/// An answer under construction.
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
        self.bytes += image.as_ref().map_or(0, Image::estimated_size);
        self.images.extend(image);
    }
}
