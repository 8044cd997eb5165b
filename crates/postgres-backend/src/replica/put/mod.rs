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
use throughline_engine::{
    Halt, RowKey, RowSource as _, StagedRows,
    rows::{
        AgentKey, AttemptKey, LastChange, MessageKey, MessageRow, RuntimeKey, SessionHeadKey, SessionKey,
        Sweep, ThreadKey, ThreadRow,
    },
};

use super::{Key, Part, State, capture::note};
use crate::{
    rows::{NotLoaded, Source, writing},
    search,
};

/// Puts a page of images in their places, over what is there.
pub(super) async fn put(
    db: &mut PgConnection,
    state: &mut State,
    images: &[Image],
) -> sqlx::Result<Result<(), PersistError>> {
    let mut page = Page::default();
    for image in images {
        page.foresee(image);
    }
    page.source.load(db).await?;
    let names = name::missing(db, images).await?;
    for (at, image) in images.iter().enumerate() {
        match page.put(image, names.contains(&at)) {
            Ok(()) => page.rows.keep(),
            Err(Halt::Refused(refusal)) => return Ok(Err(refusal)),
            Err(Halt::Stopped(NotLoaded)) => {
                let error = "what an image is put over was not read";
                return Err(sqlx::Error::Protocol(error.into()));
            }
        }
    }
    writing(&page.rows).run(db).await?;
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

/// The table keeps no positions of changes.
const CARRIED: LastChange = LastChange::Stored(0);

type Put<T> = Result<T, Halt<NotLoaded>>;

/// What becomes of the images of a page.
#[derive(Default)]
struct Page {
    source: Source,
    rows: StagedRows,
    /// Threads of which messages went without being named.
    recounted: Vec<ThreadKey>,
    /// Rows that are written past `rows`.
    keys: Vec<Key>,
}

impl Page {
    /// Notes what an image is put over.
    fn foresee(&mut self, image: &Image) {
        let (thread, id) = match &image.part {
            ImagePart::Thread(image) => (&image.thread, None),
            ImagePart::Name(image) => (&image.thread, None),
            ImagePart::Key(image) => (&image.thread, None),
            ImagePart::Session(image) => (&image.thread, None),
            ImagePart::Message(message) => (&message.thread, Some(&message.id)),
            ImagePart::Gone(gone) => (&gone.thread, Some(&gone.id)),
            _ => return,
        };
        let thread = ThreadKey::new(&image.tenant, thread);
        self.source.expect(RowKey::Thread(&thread));
        if let Some(id) = id {
            self.source.expect(RowKey::Message(&MessageKey { thread, id: id.clone() }));
        }
    }

    /// Puts one in its place. `is_new` is of a name that is not there.
    fn put(&mut self, image: &Image, is_new: bool) -> Put<()> {
        let tenant = &image.tenant;
        match &image.part {
            ImagePart::Thread(image) => self.thread(tenant, image),
            ImagePart::Message(message) => self.message(tenant, message),
            ImagePart::Gone(gone) => self.gone(tenant, gone),
            ImagePart::Name(image) if is_new => {
                let key = ThreadKey::new(tenant, &image.thread);
                let mut state = self.state(&key, Timestamp::from_micros(0))?;
                self.rows.aliases.push(name::given(&mut state, key.clone(), image));
                self.rows.threads.put(key, state);
                Ok(())
            }
            ImagePart::Name(_) => Ok(()),
            ImagePart::Key(image) => {
                let key = ThreadKey::new(tenant, &image.thread);
                let state = self.state(&key, image.at)?;
                let parts = [tenant.as_str(), image.thread.as_str(), image.key.as_str()];
                self.keys.push(Key::new(Part::Keys, &parts));
                self.rows.threads.put(key, state);
                Ok(())
            }
            ImagePart::Agent { agent, record } => {
                let key = AgentKey { tenant: tenant.clone(), agent: agent.clone() };
                self.rows.agents.put(key, *record);
                Ok(())
            }
            ImagePart::Runtime { runtime, incarnation } => {
                let key = RuntimeKey { tenant: tenant.clone(), runtime: runtime.clone() };
                self.rows.runtimes.put(key, *incarnation);
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
    fn state(&mut self, key: &ThreadKey, at: Timestamp) -> Put<ThreadRow> {
        let source = &mut self.source;
        let found = self.rows.threads.get_or_load(key, || source.thread(key))?.cloned();
        Ok(found.unwrap_or_else(|| ThreadRow::new(ThreadFacts::implied(at))))
    }

    fn thread(&mut self, tenant: &TenantId, image: &ThreadImage) -> Put<()> {
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
        let key = ThreadKey::new(tenant, thread);
        let before = self.state(&key, *gone_at)?;
        if *floor > before.floor {
            self.recounted.push(key.clone());
        }
        let went = *generation > before.generation || (*deleted && !before.deleted);
        // What the other store has purged in steps, and does not have any more.
        if !purgeable && (before.purgeable || went) {
            self.rows.sweeps.push(Sweep { thread: key.clone(), limit: u64::MAX });
        }
        let labels =
            |facts: Option<&ThreadFacts>| facts.map(|facts| (facts.labels.clone(), facts.owner.clone()));
        if labels(before.summary.as_ref()) != labels(facts.as_ref()) {
            self.rows.relabeled.push(key.clone());
        }
        let row = ThreadRow {
            last_seq: before.last_seq.max(*gone_seq).max(*floor),
            floor: *floor,
            generation: *generation,
            live: before.live,
            aliases: before.aliases,
            removed_at: *gone_at,
            removed_question: (*gone_question > Seq::ZERO).then_some(*gone_question),
            deleted: *deleted,
            purgeable: *purgeable,
            summary: facts.clone(),
            order_is_damaged: false,
        };
        self.rows.threads.put(key, row);
        Ok(())
    }

    /// What there is of a message, and whether it is one that counts.
    fn found(&mut self, key: &MessageKey, floor: Seq) -> Put<(Option<MessageRow>, bool)> {
        let source = &mut self.source;
        let found = self.rows.messages.get_or_load(key, || source.message(key))?.cloned();
        let is_there = found.as_ref().and_then(|row| row.seq).is_some_and(|seq| seq > floor);
        Ok((found, is_there))
    }

    /// What was written to an open message goes.
    fn spend(&mut self, key: &MessageKey, before: Option<&MessageRow>) -> u64 {
        let next = before.map_or(0, |row| row.chunks) + 1;
        if next > 1 {
            self.rows.chunks.delete_below(key, next);
        }
        next
    }

    fn message(&mut self, tenant: &TenantId, message: &Message) -> Put<()> {
        let thread = ThreadKey::new(tenant, &message.thread);
        let key = MessageKey { thread: thread.clone(), id: message.id.clone() };
        let mut state = self.state(&thread, message.created_at)?;
        let (before, was_there) = self.found(&key, state.floor)?;
        state.last_seq = state.last_seq.max(message.seq);
        if !was_there && message.seq > state.floor {
            state.live = state.live.map(|live| live + 1);
        }
        let next = self.spend(&key, before.as_ref());
        let mut row = MessageRow::new(message, CARRIED);
        let empty = Content::empty();
        if message.state.is_open() && message.content != empty {
            // The whole content is the first of its pieces.
            let base = ContentChange::Replace(message.content.clone());
            row.length = Length::settled(&empty).after(&base);
            row.chunks = self.rows.chunks.append(&key, next - 1, &base);
            row.first_chunk = row.chunks;
            self.rows.contents.put(key.clone(), empty);
        } else {
            self.rows.contents.put(key.clone(), message.content.clone());
        }
        self.rows.messages.put(key, row);
        self.rows.threads.put(thread, state);
        Ok(())
    }

    /// An id whose message is gone; one that is to be purged keeps its place and its attachments until then.
    fn gone(&mut self, tenant: &TenantId, gone: &GoneImage) -> Put<()> {
        let GoneImage { thread, id, left } = gone;
        let thread = ThreadKey::new(tenant, thread);
        let key = MessageKey { thread: thread.clone(), id: id.clone() };
        let mut state = self.state(&thread, Timestamp::from_micros(0))?;
        let (before, was_there) = self.found(&key, state.floor)?;
        if was_there {
            state.live = state.live.map(|live| live.saturating_sub(1));
        }
        self.spend(&key, before.as_ref());
        let mut row = before.unwrap_or_else(|| nothing(tenant, &thread.thread, id)).tombstone(CARRIED);
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

    fn session(&mut self, tenant: &TenantId, image: &SessionImage) -> Put<()> {
        let SessionImage { thread, agent, incarnation, part } = image;
        let thread = ThreadKey::new(tenant, thread);
        let state = self.state(&thread, Timestamp::from_micros(0))?;
        self.rows.threads.put(thread.clone(), state);
        let head = SessionHeadKey { thread, agent: agent.clone(), incarnation: *incarnation };
        match part {
            SessionPart::Head(found) => self.rows.session_heads.put(head, (**found).clone()),
            SessionPart::Known(found) => {
                let key = SessionKey { head, session: found.id.clone() };
                self.rows.sessions.put(key, (**found).clone());
            }
            SessionPart::Attempt(found) => {
                let key = AttemptKey { head, attempt: found.attempt.id.clone() };
                self.rows.attempts.put(key, (**found).clone());
            }
        }
        Ok(())
    }

    /// The words of the messages: not each of the images has a change that tells of it.
    async fn index(&self, db: &mut PgConnection) -> sqlx::Result<()> {
        let names = |MessageKey { thread, id }: &MessageKey| {
            (thread.tenant.to_string(), thread.thread.to_string(), id.to_string())
        };
        let messages: Vec<_> = self.rows.messages.changed().map(|(key, _)| names(key)).collect();
        let floor = |key: &ThreadKey| self.rows.threads.known(key).flatten().map(|row| row.floor);
        let ended: Vec<_> =
            self.recounted.iter().filter_map(|key| Some((&key.tenant, &key.thread, floor(key)?))).collect();
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
        .bind(self.recounted.iter().map(|key| key.tenant.as_str()).collect::<Vec<_>>())
        .bind(self.recounted.iter().map(|key| key.thread.as_str()).collect::<Vec<_>>())
        .execute(db)
        .await
        .map(drop)
    }
}

/// A message of which nothing is left but that it was there.
fn nothing(tenant: &TenantId, thread: &ThreadId, id: &MessageId) -> MessageRow {
    let message = Message {
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
    };
    MessageRow::new(&message, CARRIED)
}
