//! Images put in their places. The rows that they refer to are made where they are not there yet: the order in which images come
//! is that in which rows were touched last.

mod beside;
mod name;

use sqlx::PgConnection;
use throughline_core::{
    Content, ContentChange, Message, MessageId, MessageState, Metadata, PersistError, Revision, Role, Seq,
    TenantId, ThreadId, Timestamp,
    backend::{Length, ThreadFacts},
    replica::{GoneImage, Image, ImagePart, SessionImage, SessionPart, ThreadImage},
};

use super::{Key, Part, State, capture::note};
use crate::rows::{Halt, HeadKey, MessageKey, MessageRow, Piece, Rows, ThreadKey, ThreadRow};
use crate::search;

/// Puts a page of images in their places, over what is there.
pub(super) async fn put(
    db: &mut PgConnection,
    state: &mut State,
    images: &[Image],
) -> sqlx::Result<Result<(), PersistError>> {
    let mut page = Page { rows: Rows::default(), recounted: Vec::new(), keys: Vec::new() };
    for image in images {
        page.foresee(image);
    }
    page.rows.read(db).await?;
    let names = name::missing(db, images).await?;
    for (at, image) in images.iter().enumerate() {
        match page.put(image, names.contains(&at)) {
            Ok(()) => page.rows.keep(),
            Err(Halt::Refused(refusal)) => return Ok(Err(refusal)),
            Err(Halt::Unread) => {
                let error = "what an image is put over was not read";
                return Err(sqlx::Error::Protocol(error.into()));
            }
        }
    }
    page.rows.writing().run(db).await?;
    beside::put_keys(db, images).await?;
    beside::put_consumers(db, images).await?;
    beside::put_changes(db, images).await?;
    beside::put_audit(db, state, images).await?;
    page.recount(db).await?;
    page.index(db).await?;
    if state.capture.is_some() {
        let mut keys = Key::changed(&page.rows);
        keys.append(&mut page.keys);
        // It counts by itself; what is written of the store afterwards has to have it.
        note(db, keys).await?;
        state.touched = State::read(db).await?.touched;
    }
    Ok(Ok(()))
}

/// What becomes of the images of a page.
struct Page {
    rows: Rows,
    /// Threads of which messages went without being named.
    recounted: Vec<ThreadKey>,
    /// Rows that are written past `rows`.
    keys: Vec<Key>,
}

impl Page {
    /// Notes what an image is put over.
    fn foresee(&mut self, image: &Image) {
        let tenant = &image.tenant;
        let thread = |thread: &ThreadId| (tenant.clone(), thread.clone());
        match &image.part {
            ImagePart::Thread(image) => self.rows.threads.want(&thread(&image.thread)),
            ImagePart::Name(image) => self.rows.threads.want(&thread(&image.thread)),
            ImagePart::Key(image) => self.rows.threads.want(&thread(&image.thread)),
            ImagePart::Session(image) => self.rows.threads.want(&thread(&image.thread)),
            ImagePart::Message(message) => {
                let key = thread(&message.thread);
                self.rows.threads.want(&key);
                self.rows.messages.want(&(key, message.id.clone()));
            }
            ImagePart::Gone(gone) => {
                let key = thread(&gone.thread);
                self.rows.threads.want(&key);
                self.rows.messages.want(&(key, gone.id.clone()));
            }
            _ => {}
        }
    }

    /// Puts one in its place. `is_new` is of a name that is not there.
    fn put(&mut self, image: &Image, is_new: bool) -> Result<(), Halt> {
        let tenant = &image.tenant;
        match &image.part {
            ImagePart::Thread(image) => self.thread(tenant, image),
            ImagePart::Message(message) => self.message(tenant, message),
            ImagePart::Gone(gone) => self.gone(tenant, gone),
            ImagePart::Name(image) if is_new => {
                let key = (tenant.clone(), image.thread.clone());
                let mut state = self.state(&key, Timestamp::from_micros(0))?;
                self.rows.new_names.push(name::given(&mut state, key.clone(), image));
                self.rows.threads.put(key, state);
                Ok(())
            }
            ImagePart::Name(_) => Ok(()),
            ImagePart::Key(image) => {
                let key = (tenant.clone(), image.thread.clone());
                let state = self.state(&key, image.at)?;
                let parts = [tenant.as_str(), image.thread.as_str(), image.key.as_str()];
                self.keys.push(Key::new(Part::Keys, &parts));
                self.rows.threads.put(key, state);
                Ok(())
            }
            ImagePart::Agent { agent, record } => {
                self.rows.agents.put((tenant.clone(), agent.clone()), *record);
                Ok(())
            }
            ImagePart::Runtime { runtime, incarnation } => {
                self.rows.runtimes.put((tenant.clone(), runtime.clone()), *incarnation);
                Ok(())
            }
            ImagePart::Session(image) => self.session(tenant, image),
            ImagePart::Consumer(image) => {
                self.keys.push(Key::new(Part::Consumers, &[tenant.as_str(), image.consumer.as_str()]));
                Ok(())
            }
            ImagePart::Change(_) | ImagePart::Audit(_) => Ok(()),
            // Made by a newer version: what is not known here cannot be kept.
            _ => Err(PersistError::unsupported("an image of a kind that is not known").into()),
        }
    }

    /// The thread, which is begun with nothing said of it where there is none.
    fn state(&mut self, key: &ThreadKey, at: Timestamp) -> Result<ThreadRow, Halt> {
        let found = self.rows.threads.get(key)?.cloned();
        Ok(found.unwrap_or_else(|| ThreadRow::new(ThreadFacts::implied(at))))
    }

    fn thread(&mut self, tenant: &TenantId, image: &ThreadImage) -> Result<(), Halt> {
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
        let key = (tenant.clone(), thread.clone());
        let before = self.state(&key, *gone_at)?;
        if *floor > before.floor {
            self.recounted.push(key.clone());
        }
        let went = *generation > before.generation || (*deleted && !before.deleted);
        // What the other store has purged in steps, and does not have any more.
        if !purgeable && (before.purgeable || went) {
            self.rows.swept.push(key.clone());
        }
        let labels =
            |facts: Option<&ThreadFacts>| facts.map(|facts| (facts.labels.clone(), facts.owner.clone()));
        if labels(before.facts.as_ref()) != labels(facts.as_ref()) {
            self.rows.labelled.push(key.clone());
        }
        let row = ThreadRow {
            last_seq: before.last_seq.max(*gone_seq).max(*floor),
            floor: *floor,
            generation: *generation,
            live: before.live,
            names: before.names,
            gone_at: *gone_at,
            gone_question: (*gone_question > Seq::ZERO).then_some(*gone_question),
            deleted: *deleted,
            purgeable: *purgeable,
            facts: facts.clone(),
        };
        self.rows.threads.put(key, row);
        Ok(())
    }

    /// What there is of a message, and whether it is one that counts.
    fn found(&mut self, key: &MessageKey, floor: Seq) -> Result<(Option<MessageRow>, bool), Halt> {
        let found = self.rows.messages.get(key)?.cloned();
        let is_there = found.as_ref().and_then(|row| row.seq).is_some_and(|seq| seq > floor);
        Ok((found, is_there))
    }

    /// What was written to an open message goes.
    fn spend(&mut self, key: &MessageKey, before: Option<&MessageRow>) -> u64 {
        let next = before.map_or(0, |row| row.pieces) + 1;
        if next > 1 {
            self.rows.spent.push((key.clone(), next));
        }
        next
    }

    fn message(&mut self, tenant: &TenantId, message: &Message) -> Result<(), Halt> {
        let thread = (tenant.clone(), message.thread.clone());
        let key = (thread.clone(), message.id.clone());
        let mut state = self.state(&thread, message.created_at)?;
        let (before, was_there) = self.found(&key, state.floor)?;
        state.last_seq = state.last_seq.max(message.seq);
        if !was_there && message.seq > state.floor {
            state.live += 1;
        }
        let next = self.spend(&key, before.as_ref());
        let mut row = MessageRow::of(message);
        let empty = Content::empty();
        if message.state.is_open() && message.content != empty {
            // The whole content is the first of its pieces.
            let base = ContentChange::Replace(message.content.clone());
            row.length = Length::settled(&empty).after(&base);
            (row.pieces, row.first_piece) = (next, next);
            self.rows.pieces.push(Piece::new(key.clone(), next, &base));
            self.rows.contents.put(key.clone(), empty);
        } else {
            self.rows.contents.put(key.clone(), message.content.clone());
        }
        self.rows.messages.put(key, row);
        self.rows.threads.put(thread, state);
        Ok(())
    }

    /// An id whose message is gone; one that is to be purged keeps its place and its attachments until then.
    fn gone(&mut self, tenant: &TenantId, gone: &GoneImage) -> Result<(), Halt> {
        let GoneImage { thread, id, left } = gone;
        let thread = (tenant.clone(), thread.clone());
        let key = (thread.clone(), id.clone());
        let mut state = self.state(&thread, Timestamp::from_micros(0))?;
        let (before, was_there) = self.found(&key, state.floor)?;
        if was_there {
            state.live = state.live.saturating_sub(1);
        }
        self.spend(&key, before.as_ref());
        let mut row = before.unwrap_or_else(|| nothing(tenant, &thread.1, id)).dead();
        if let Some((seq, attachments)) = left {
            state.last_seq = state.last_seq.max(*seq);
            row = MessageRow {
                seq: Some(*seq),
                state: MessageState::Abandoned,
                attachments: attachments.clone(),
                ..row
            };
            self.rows.contents.put(key.clone(), Content::empty());
        }
        self.rows.messages.put(key, row);
        self.rows.threads.put(thread, state);
        Ok(())
    }

    fn session(&mut self, tenant: &TenantId, image: &SessionImage) -> Result<(), Halt> {
        let SessionImage { thread, agent, incarnation, part } = image;
        let thread = (tenant.clone(), thread.clone());
        let state = self.state(&thread, Timestamp::from_micros(0))?;
        self.rows.threads.put(thread.clone(), state);
        let head = HeadKey { thread, agent: agent.clone(), incarnation: *incarnation };
        match part {
            SessionPart::Head(found) => self.rows.heads.put(head, (**found).clone()),
            SessionPart::Known(found) => self.rows.sessions.put((head, found.id.clone()), (**found).clone()),
            SessionPart::Attempt(found) => {
                self.rows.attempts.put((head, found.attempt.id.clone()), (**found).clone());
            }
        }
        Ok(())
    }

    /// The words of the messages: not each of the images has a change that tells of it.
    async fn index(&self, db: &mut PgConnection) -> sqlx::Result<()> {
        let names =
            |((tenant, thread), id): &MessageKey| (tenant.to_string(), thread.to_string(), id.to_string());
        let messages: Vec<_> = self.rows.messages.changed().map(|(key, _)| names(key)).collect();
        let floor = |key: &ThreadKey| {
            self.rows.threads.known().find(|(known, _)| *known == key).map(|(_, row)| row.floor)
        };
        let ended: Vec<_> =
            self.recounted.iter().filter_map(|key| Some((&key.0, &key.1, floor(key)?))).collect();
        search::put(db, &messages, &ended).await
    }

    /// Counts the messages of threads that were cleared or deleted. Nothing that follows reads more of them than there are.
    async fn recount(&self, db: &mut PgConnection) -> sqlx::Result<()> {
        if self.recounted.is_empty() {
            return Ok(());
        }
        sqlx::query(
            "UPDATE throughline.threads t SET live = (SELECT count(*) FROM throughline.messages m \
             WHERE m.tenant = t.tenant AND m.thread = t.thread AND m.seq > t.floor) \
             FROM unnest($1::text[], $2::text[]) AS k (tenant, thread) \
             WHERE t.tenant = k.tenant AND t.thread = k.thread",
        )
        .bind(self.recounted.iter().map(|key| key.0.as_str()).collect::<Vec<_>>())
        .bind(self.recounted.iter().map(|key| key.1.as_str()).collect::<Vec<_>>())
        .execute(db)
        .await
        .map(drop)
    }
}

/// A message of which nothing is left but that it was there.
fn nothing(tenant: &TenantId, thread: &ThreadId, id: &MessageId) -> MessageRow {
    MessageRow::of(&Message {
        tenant: tenant.clone(),
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
    })
}
