//! Images put in their places. The rows that they refer to are made where they are not there yet: the order in which images come
//! is that in which rows were touched last.

use rusqlite::{Connection, OptionalExtension, params};
use throughline_core::{
    Alias, Content, ContentChange, EventId, Happened, ItemId, Message, MessageId, MessageState, Metadata,
    PersistError, Revision, Role, Seq, TenantId, ThreadId, Timestamp, TurnId,
    backend::Length,
    replica::{ConsumerImage, GoneImage, Image, ImagePart, KeyImage, NameImage, SessionImage, ThreadImage},
};

use crate::{
    apply::{
        Applied, Scope,
        delete::erase,
        key_checksum,
        row::{clear_appends_of, last_in_order},
        session,
        thread::{FORGET_LABELS, put_labels},
    },
    read::ENTRY,
    record::{
        AliasRow, Append, AppendKind, AuditRow, Cursor, DELETED, Encoded, EntryRow, Head, Listed, PassedOver,
        Record, ThreadSegment, Told, head_columns, number,
    },
    search,
};

/// Puts one thing in its place, over what is there.
pub(super) fn put(scope: Scope<'_>, image: &Image) -> Applied<()> {
    let Image { tenant, part } = image;
    let scope = Scope { tenant, ..scope };
    let at = At { scope, db: scope.db, tenant };
    match part {
        ImagePart::Thread(image) => at.thread(image),
        ImagePart::Message(message) => at.message(message),
        ImagePart::Gone(gone) => at.gone(gone),
        ImagePart::Name(image) => at.name(image),
        ImagePart::Key(image) => at.key(image),
        ImagePart::Agent { agent, record } => session::put_agent(scope, agent, *record),
        ImagePart::Runtime { runtime, incarnation } => session::put_runtime(scope, runtime, *incarnation),
        ImagePart::Session(image) => at.session(image),
        ImagePart::Consumer(image) => at.consumer(image),
        // What the other store could not read it is for that store to tell.
        ImagePart::Change(change) if matches!(change.what, Happened::Unreadable { .. }) => Ok(()),
        ImagePart::Change(change) => {
            let thread_pk = at.thread_pk(&change.thread)?;
            let position = number(change.position.get());
            let told = Told::new(position, thread_pk, change.at.as_micros(), &change.what);
            told.map_or(Ok(()), |told| told.insert(scope.db)).map_err(Into::into)
        }
        // What is there already stays: the log is only ever added to.
        ImagePart::Audit(entry) if entry.number <= AuditRow::last(scope.db)? => Ok(()),
        ImagePart::Audit(entry) => AuditRow::insert(scope.db, entry).map_err(Into::into),
        other => {
            let kind = std::mem::discriminant(other);
            Err(PersistError::unsupported(format_args!("an image of {kind:?}")).into())
        }
    }
}

struct At<'a> {
    scope: Scope<'a>,
    db: &'a Connection,
    tenant: &'a TenantId,
}

/// The row of a message that an image is put over.
struct Found {
    message_pk: i64,
    seq: Option<i64>,
    appends: i64,
    last_append: Option<i64>,
}

impl At<'_> {
    /// The number of a thread, which is begun with nothing said of it where there is none.
    fn thread_pk(&self, thread: &ThreadId) -> Applied<i64> {
        let found = self
            .db
            .prepare_cached("SELECT thread_pk FROM threads WHERE tenant = ?1 AND thread = ?2")?
            .query_row(params![self.tenant.as_str(), thread.as_str()], |row| row.get(0))
            .optional()?;
        match found {
            Some(thread_pk) => Ok(thread_pk),
            None => Ok(Head::new(0).insert(self.db, self.tenant.as_str(), thread.as_str())?),
        }
    }

    fn thread(&self, image: &ThreadImage) -> Applied<()> {
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
        let thread_pk = self.thread_pk(thread)?;
        let (tenant, name) = (self.tenant.as_str(), thread.as_str());
        let (before, last_segment): ((i64, bool, i64), i64) = self
            .db
            .prepare_cached(
                "SELECT floor, deleted, deleted_seq, last_segment FROM threads WHERE thread_pk = ?1",
            )?
            .query_row([thread_pk], |row| Ok(((row.get(0)?, row.get(1)?, row.get(2)?), row.get(3)?)))?;
        let head = Head {
            // What is known of places that were given is not forgotten again: the other store may only say that the last one is
            // that of a message, which has not come yet.
            deleted_seq: before.2.max(number(gone_seq.get())),
            floor: number(floor.get()),
            generation: number(generation.get()),
            gone_at: gone_at.as_micros(),
            gone_question: number(gone_question.get()),
            deleted: *deleted,
            purgeable: *purgeable,
            last_segment,
        };
        head.update(self.db, thread_pk, tenant, name)?;
        head.write_purgeable(self.db, thread_pk)?;
        match facts {
            Some(facts) => {
                let last_seq = self.last_seq(thread_pk, thread, &head)?;
                EntryRow::write((facts, last_seq), self.db, thread_pk, (tenant, name), None)?;
                put_labels(self.scope, thread_pk, facts)?;
            }
            None => {
                self.db.prepare_cached(FORGET_LABELS)?.execute([thread_pk])?;
                self.db.prepare_cached("DELETE FROM catalogue WHERE thread_pk = ?1")?.execute([thread_pk])?;
            }
        }
        if !purgeable {
            self.purged(thread_pk, &head)?;
        }
        if head.floor > before.0 || head.deleted && !before.1 {
            search::put_thread(self.db, thread_pk)?;
        }
        Ok(())
    }

    /// What the other store has purged in steps, and does not have any more.
    fn purged(&self, thread_pk: i64, head: &Head) -> Applied<()> {
        let kept = if head.deleted { i64::MAX } else { head.generation };
        self.db
            .prepare_cached("DELETE FROM aliases WHERE thread_pk = ?1 AND generation < ?2")?
            .execute(params![thread_pk, kept])?;
        if head.deleted {
            while session::purge(self.scope, thread_pk, 1000)? {}
        }
        Ok(())
    }

    fn found(&self, thread_pk: i64, id: &MessageId) -> rusqlite::Result<Option<Found>> {
        self.db
            .prepare_cached(
                "SELECT message_pk, seq, appends, last_append FROM messages WHERE message_id = ?1 AND thread_pk = ?2",
            )?
            .query_row(params![id.as_str(), thread_pk], |row| {
                let (message_pk, seq) = (row.get(0)?, row.get(1)?);
                Ok(Found { message_pk, seq, appends: row.get(2)?, last_append: row.get(3)? })
            })
            .optional()
    }

    /// The row of an id, empty of what was written to it, and its place; made where there is none.
    fn emptied(&self, thread_pk: i64, id: &MessageId) -> Applied<(i64, Option<i64>)> {
        if let Some(found) = self.found(thread_pk, id)? {
            clear_appends_of(self.db, found.message_pk, found.appends, found.last_append)?;
            return Ok((found.message_pk, found.seq));
        }
        self.db
            .prepare_cached(
                "INSERT INTO messages (thread_pk, message_id, seq, segment, role, state, revision, appends, \
                 content_bytes, tail, created_at, updated_at, position, checksum, metadata, content) \
                 VALUES (?1, ?2, NULL, 0, 'user', ?3, 1, 0, 0, 0, 0, 0, 0, 0, '{}', '[]')",
            )?
            .execute(params![thread_pk, id.as_str(), DELETED])?;
        Ok((self.db.last_insert_rowid(), None))
    }

    fn message(&self, message: &Message) -> Applied<()> {
        let thread_pk = self.thread_pk(&message.thread)?;
        let (message_pk, _) = self.emptied(thread_pk, &message.id)?;
        let position = self.scope.position.get();
        let length = Length::settled(&message.content);
        let mut record =
            Record { message_pk, message: message.clone(), appends: 0, last_append: None, length, position };
        if message.state.is_open() {
            let content = std::mem::replace(&mut record.message.content, Content::empty());
            if content != record.message.content {
                record.last_append = Some(self.base(message_pk, content.as_json())?);
                record.appends = 1;
            }
            record.length = Length::settled(&record.message.content).after(&ContentChange::Replace(content));
        }
        self.write(&record, thread_pk)?;
        search::put_message(self.db, message_pk)?;
        Ok(())
    }

    /// The whole content of an open message as the first of its pieces.
    fn base(&self, message_pk: i64, json: &str) -> Applied<i64> {
        let piece = Append { kind: AppendKind::Base, delta: json };
        self.db
            .prepare_cached(
                "INSERT INTO appends (message_pk, n, prev, kind, checksum, delta) VALUES (?1, 1, NULL, ?2, ?3, ?4)",
            )?
            .execute(params![message_pk, piece.kind.code(), piece.checksum(message_pk, 1), json])?;
        Ok(self.db.last_insert_rowid())
    }

    fn write(&self, record: &Record, thread_pk: i64) -> Applied<()> {
        let Encoded { metadata, attachments, lease, checksum, .. } = record.encode();
        let (lease_ms, lease_expires_at) = lease.unzip();
        let message = &record.message;
        let seq = number(message.seq.get());
        let current = self.scope.segment_at(record.position);
        let (segment, last_segment) = ThreadSegment::of(self.db, thread_pk, seq, current)?;
        if let Some(last_segment) = last_segment {
            self.change_head(thread_pk, &message.thread, |head| head.last_segment = last_segment)?;
        }
        self.db
            .prepare_cached(
                "UPDATE messages SET seq = ?2, role = ?3, state = ?4, revision = ?5, appends = ?6, last_append = ?7, \
                 content_bytes = ?8, tail = ?9, lease_ms = ?10, lease_expires_at = ?11, created_at = ?12, \
                 updated_at = ?13, position = ?14, checksum = ?15, metadata = ?16, attachments = ?17, \
                 abandon_reason = ?18, content = ?19, segment = ?20 WHERE message_pk = ?1",
            )?
            .execute(params![
                record.message_pk,
                seq,
                message.role.as_str(),
                message.state.as_str(),
                number(message.revision.get()),
                record.appends,
                record.last_append,
                number(record.length.bytes),
                record.length.tail.code(),
                lease_ms,
                lease_expires_at,
                message.created_at.as_micros(),
                message.updated_at.as_micros(),
                record.position,
                checksum,
                metadata,
                attachments,
                message.abandon_reason,
                message.content.as_json(),
                segment,
            ])?;
        self.raise_last_seq(thread_pk, &message.thread, seq)?;
        Ok(())
    }

    /// An id whose message is gone; one that is to be purged keeps its place and its attachments until then.
    fn gone(&self, gone: &GoneImage) -> Applied<()> {
        let GoneImage { thread, id, left } = gone;
        let thread_pk = self.thread_pk(thread)?;
        let (message_pk, seq) = self.emptied(thread_pk, id)?;
        erase(self.db, message_pk, self.scope.position.get())?;
        if let Some(seq) = seq {
            ThreadSegment::forget_empty(self.db, thread_pk, (seq, seq))?;
            if left.is_none() {
                self.had_place(thread_pk, thread, seq)?;
            }
        }
        if let Some((seq, attachments)) = left {
            let message = Message {
                seq: *seq,
                attachments: attachments.clone(),
                ..emptied_message(self.tenant, thread, id)
            };
            let length = Length::settled(&message.content);
            let position = self.scope.position.get();
            let record = Record { message_pk, message, appends: 0, last_append: None, length, position };
            self.write(&record, thread_pk)?;
        }
        search::put_message(self.db, message_pk)?;
        Ok(())
    }

    /// A thread knows at once which place a message had that is gone. The image of the thread, which says it too, may never come: a
    /// store that is made the first in the middle of a copy does not give the place again.
    fn had_place(&self, thread_pk: i64, thread: &ThreadId, seq: i64) -> rusqlite::Result<()> {
        self.change_head(thread_pk, thread, |head| head.deleted_seq = head.deleted_seq.max(seq))?;
        self.raise_last_seq(thread_pk, thread, seq)
    }

    /// The last sequence number that a thread has given, as far as its messages and its head tell it.
    fn last_seq(&self, thread_pk: i64, thread: &ThreadId, head: &Head) -> Applied<i64> {
        let last = last_in_order(self.scope, thread, (thread_pk, head.floor))?;
        let last = last.map_or(0, |(_, seq)| number(seq.get()));
        Ok(last.max(head.deleted_seq).max(head.floor))
    }

    /// Lists show this sequence number as the last one of the thread, unless they show a later one. A thread whose image has not
    /// come yet, or whose summary is damaged, is not changed.
    fn raise_last_seq(&self, thread_pk: i64, thread: &ThreadId, seq: i64) -> rusqlite::Result<()> {
        let (tenant, thread) = (self.tenant.as_str(), thread.as_str());
        let found = self
            .db
            .prepare_cached(ENTRY)?
            .query_row([thread_pk], |row| Ok(EntryRow::read(row, 0, tenant, thread)))
            .optional()?;
        match found.flatten() {
            Some(EntryRow { facts, last_seq }) if last_seq < seq => {
                let listed = Some(Listed::of(&facts));
                EntryRow::write((&facts, seq), self.db, thread_pk, (tenant, thread), listed)
            }
            _ => Ok(()),
        }
    }

    /// Changes a head that can be read.
    fn change_head(
        &self,
        thread_pk: i64,
        thread: &ThreadId,
        change: impl FnOnce(&mut Head),
    ) -> rusqlite::Result<()> {
        let (tenant, thread) = (self.tenant.as_str(), thread.as_str());
        let found = self
            .db
            .prepare_cached(concat!("SELECT ", head_columns!(), " FROM threads t WHERE t.thread_pk = ?1"))?
            .query_row([thread_pk], |row| Ok(Head::read(row, 0, tenant, thread)))?;
        let Some((_, before)) = found else { return Ok(()) };
        let mut head = before;
        change(&mut head);
        if head == before { Ok(()) } else { head.update(self.db, thread_pk, tenant, thread) }
    }

    fn name(&self, image: &NameImage) -> Applied<()> {
        let NameImage { thread, generation, known } = image;
        let thread_pk = self.thread_pk(thread)?;
        let Alias { message, role, origin } = &known.alias;
        let row = AliasRow {
            generation: number(generation.get()),
            seen: number(known.seen.get()),
            alias: known.alias.clone(),
        };
        let is_there: bool = self
            .db
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM aliases WHERE thread_pk = ?1 AND generation = ?2 AND message_id = ?3 \
                 AND seen = ?4 AND role = ?5 AND turn IS ?6 AND item IS ?7 AND event IS ?8)",
            )?
            .query_row(
                params![
                    thread_pk,
                    row.generation,
                    message.as_str(),
                    row.seen,
                    role.as_str(),
                    origin.turn.as_ref().map(TurnId::as_str),
                    origin.item.as_ref().map(ItemId::as_str),
                    origin.event.as_ref().map(EventId::as_str),
                ],
                |row| row.get(0),
            )?;
        if !is_there {
            row.insert(self.db, thread_pk)?;
        }
        Ok(())
    }

    fn key(&self, image: &KeyImage) -> Applied<()> {
        let KeyImage { thread, key, fingerprint, replay, at } = image;
        let thread_pk = self.thread_pk(thread)?;
        let replay = serde_json::to_string(replay).expect("a record of ids and numbers serialises");
        let fingerprint = fingerprint.as_bytes();
        let (tenant, key) = (self.tenant.as_str(), key.as_str());
        let created_at = at.as_micros();
        let checksum =
            key_checksum((tenant, thread.as_str(), key), created_at, fingerprint, replay.as_bytes());
        self.db
            .prepare_cached(
                "INSERT INTO idempotency (thread_pk, key, created_at, checksum, fingerprint, replay) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (key, thread_pk) DO UPDATE SET \
                 created_at = excluded.created_at, checksum = excluded.checksum, \
                 fingerprint = excluded.fingerprint, replay = excluded.replay",
            )?
            .execute(params![thread_pk, key, created_at, checksum, fingerprint, replay])?;
        Ok(())
    }

    fn session(&self, image: &SessionImage) -> Applied<()> {
        let SessionImage { thread, agent, incarnation, part } = image;
        let thread_pk = self.thread_pk(thread)?;
        session::put_row(self.scope, (thread, thread_pk), (agent, *incarnation), part)
    }

    fn consumer(&self, image: &ConsumerImage) -> Applied<()> {
        let ConsumerImage { consumer, position, quarantined } = image;
        let (tenant, name, position) = (self.tenant.as_str(), consumer.as_str(), number(position.get()));
        let consumer_pk: i64 = self
            .db
            .prepare_cached(
                "INSERT INTO consumers (tenant, consumer, position, checksum) VALUES (?1, ?2, ?3, ?4) \
                 ON CONFLICT (tenant, consumer) DO UPDATE SET position = excluded.position, \
                 checksum = excluded.checksum RETURNING consumer_pk",
            )?
            .query_row(params![tenant, name, position, Cursor::checksum(tenant, name, position)], |row| {
                row.get(0)
            })?;
        self.db.prepare_cached("DELETE FROM quarantine WHERE consumer_pk = ?1")?.execute([consumer_pk])?;
        for change in quarantined {
            let passed = PassedOver {
                position: number(change.position.get()),
                at: change.at.as_micros(),
                thread: change.thread.as_str(),
                why: &change.why,
            };
            self.db
                .prepare_cached(
                    "INSERT INTO quarantine (consumer_pk, position, at, checksum, thread, why) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                )?
                .execute(params![
                    consumer_pk,
                    passed.position,
                    passed.at,
                    passed.checksum(consumer_pk),
                    passed.thread,
                    passed.why
                ])?;
        }
        Ok(())
    }
}

/// A message of which nothing is left but that it was there.
fn emptied_message(tenant: &TenantId, thread: &ThreadId, id: &MessageId) -> Message {
    Message {
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
    }
}
