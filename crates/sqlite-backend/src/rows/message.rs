//! Messages and tombstones: the rows of `messages`.

use std::{borrow::Cow, collections::HashMap};

use rusqlite::{Connection, OptionalExtension, Row, params};
use throughline_core::{
    Content, ErrorKind, Message, MessageId, MessageState, Metadata, PersistError, Revision, Role, Seq,
    Timestamp,
    backend::{Length, Tail},
};
use throughline_engine::{
    StagedRows,
    rows::{DamagedRow, LastChange, MessageKey, MessageRow, ThreadKey},
};

use super::{Positions, Source, corrupt, source::LoadedMessages};
use crate::{
    blob::{BlobRef, StoredContent},
    error::is_taken,
    failure::{Applied, Failure},
    record::{
        Columns as _, DELETED, Damage, Encoded, Record, ThreadSegment, message_columns, number,
        tombstone_checksum,
    },
};

/// The row of a message.
pub(crate) const FIND: &str = concat!(
    "SELECT 0, ",
    message_columns!(),
    " FROM messages m WHERE m.message_id = ?2 AND m.thread_pk = ?1"
);

/// The stored columns of a message that the engine does not keep.
#[derive(Debug, Clone)]
pub(crate) struct StoredMessage {
    pub(crate) message_pk: i64,
    pub(super) seq: Option<i64>,
    state: Option<MessageState>,
    /// `None` if it was not read.
    revision: Option<Revision>,
    /// The number of chunks. `None` if it cannot be read.
    pub(super) appends: Option<i64>,
    pub(super) last_append: Option<i64>,
    /// Of a settled message.
    pub(super) content: StoredContent,
    /// Whether this transaction has inserted it: then only the result of its chunks is left to write.
    is_new: bool,
}

/// A row that was found.
pub(super) struct Found {
    pub(super) id: MessageId,
    pub(super) row: MessageRow,
    pub(super) stored: StoredMessage,
}

impl Found {
    /// Reads [`message_columns!`] of a message above the floor, or of a tombstone.
    pub(super) fn read(row: &Row<'_>, thread: &ThreadKey) -> Result<Self, Damage> {
        if row.is_null(3) && row.text(5) == Some(DELETED.as_bytes()) {
            return Self::read_removed(row);
        }
        let Record { message_pk, message, content, appends, last_append, length, replaced, position } =
            Record::read(row, &thread.tenant, &thread.thread)?;
        let Message { id, seq, role, state, revision, metadata, attachments, .. } = message;
        let stored = StoredMessage {
            message_pk,
            seq: Some(number(seq.get())),
            state: Some(state),
            revision: Some(revision),
            appends: Some(appends),
            last_append,
            content,
            is_new: false,
        };
        let row = MessageRow {
            seq: Some(seq),
            role,
            state,
            revision,
            replaced,
            chunks: u64::try_from(appends).unwrap_or_default(),
            first_chunk: 1,
            length,
            lease: message.lease,
            created_at: message.created_at,
            updated_at: message.updated_at,
            metadata,
            attachments,
            abandon_reason: message.abandon_reason,
            last_change: LastChange::Stored(u64::try_from(position).unwrap_or_default()),
        };
        Ok(Self { id, row, stored })
    }

    /// Reads [`message_columns!`] of a tombstone, or of a message that is removed or overwritten in any case. It reads
    /// only its sequence number, its revision, its chunks, its attachments and the name of its blob, and verifies nothing.
    pub(super) fn read_removed(row: &Row<'_>) -> Result<Self, Damage> {
        let id = row.text(2).and_then(|text| MessageId::new(str::from_utf8(text).ok()?).ok());
        let seq = row.integer(3);
        let read = || {
            let attachments = row.optional_str(16)?.map(serde_json::from_str).transpose().ok()?;
            let appends = row.integer(7)?;
            let mut stored = StoredMessage {
                appends: Some(appends),
                last_append: row.integer(20),
                ..StoredMessage::damaged(row.integer(1)?, seq)
            };
            if let Some(blob) = row.text(18).and_then(|text| BlobRef::parse(str::from_utf8(text).ok()?)) {
                stored.content = StoredContent::Blob(blob);
            }
            let revision = row.integer(6).and_then(|stored| u64::try_from(stored).ok());
            let replaced = row.integer(19).and_then(|code| Some(MessageRow::from_tail_code(code)?.1));
            let row = MessageRow {
                seq: seq.map(|seq| u64::try_from(seq).map(Seq::new)).transpose().ok()?,
                role: Role::User,
                state: MessageState::Abandoned,
                revision: revision.map_or(Revision::FIRST, Revision::new),
                replaced: replaced.unwrap_or(Revision::ZERO),
                chunks: u64::try_from(appends).ok()?,
                first_chunk: 1,
                length: Length { bytes: 0, tail: Tail::Nothing },
                lease: None,
                created_at: Timestamp::from_micros(0),
                updated_at: Timestamp::from_micros(0),
                metadata: Metadata::new(),
                attachments: attachments.unwrap_or_default(),
                abandon_reason: None,
                last_change: LastChange::Stored(0),
            };
            Some(Self { id: id.clone()?, row, stored })
        };
        read().ok_or(Damage { id: id.clone(), seq })
    }
}

impl Source<'_> {
    /// Returns the message of a key, or its tombstone.
    pub(super) fn find_message(&mut self, key: &MessageKey) -> Applied<Option<MessageRow>> {
        let overwrites = self.overwrites;
        let Some(thread) = self.stored_thread(&key.thread)? else { return Ok(None) };
        let (thread_pk, floor) = (thread.thread_pk, thread.head.floor);
        let found = self
            .db
            .prepare_cached(FIND)?
            .query_row(params![thread_pk, key.id.as_str()], |row| {
                let is_removed = row.integer(3).is_some_and(|seq| seq <= floor);
                Ok(if is_removed || overwrites {
                    Found::read_removed(row)
                } else {
                    Found::read(row, &key.thread)
                })
            })
            .optional()?;
        match found {
            None => Ok(None),
            Some(Ok(Found { id, row, stored })) if id == key.id => {
                self.messages.insert(key.clone(), stored);
                Ok(Some(row))
            }
            // The index led to another message.
            Some(Ok(_)) => {
                let damage = Damage { id: Some(key.id.clone()), seq: None };
                Err(damage.into_error(&key.thread.thread).into())
            }
            Some(Err(damage)) => Err(damage.into_error(&key.thread.thread).into()),
        }
    }

    /// Returns the unverified contents of the damaged row of a message. `None` if an index leads to the row of another
    /// message, or if the row has lost its sequence number: the thread summary has never assigned the one that it has.
    pub(super) fn find_damaged(&mut self, key: &MessageKey) -> Applied<Option<DamagedRow>> {
        let Some(thread) = self.stored_thread(&key.thread)? else { return Ok(None) };
        let (thread_pk, given) = (thread.thread_pk, thread.summary_last_seq);
        let found = self
            .db
            .prepare_cached(
                "SELECT message_pk, message_id, seq, revision, state, tail FROM messages \
                 WHERE message_id = ?2 AND thread_pk = ?1",
            )?
            .query_row(params![thread_pk, key.id.as_str()], |row| {
                let message_pk = row.get(0)?;
                let Some(seq) = row.integer(2).filter(|seq| (1..=given).contains(seq)) else {
                    return Ok(None);
                };
                if row.text(1) != Some(key.id.as_str().as_bytes()) {
                    return Ok(None);
                }
                let revision = row.integer(3).and_then(|stored| u64::try_from(stored).ok());
                let state = row.text(4).and_then(|text| MessageState::from_name(str::from_utf8(text).ok()?));
                let replaced = row.integer(5).and_then(|code| Some(MessageRow::from_tail_code(code)?.1));
                Ok(Some((message_pk, seq, revision, replaced, state)))
            })
            .optional()?;
        let Some((message_pk, seq, revision, replaced, state)) = found.flatten() else { return Ok(None) };
        self.messages.insert(key.clone(), StoredMessage::damaged(message_pk, Some(seq)));
        Ok(Some(DamagedRow {
            seq: u64::try_from(seq).map_or(Seq::ZERO, Seq::new),
            revision: revision.map_or(Revision::FIRST, Revision::new),
            replaced: replaced.unwrap_or(Revision::ZERO),
            state,
        }))
    }
}

/// The removed messages of a flush, by their sequence numbers.
#[derive(Debug, Default)]
pub(super) struct RemovedMessages(HashMap<ThreadKey, (i64, i64)>);

impl RemovedMessages {
    fn record(&mut self, thread: &ThreadKey, seq: i64) {
        let (first, last) = self.0.entry(thread.clone()).or_insert((seq, seq));
        (*first, *last) = ((*first).min(seq), (*last).max(seq));
    }

    /// Returns the last sequence number of a removed message of a thread.
    pub(super) fn up_to(&self, thread: &ThreadKey) -> i64 {
        self.0.get(thread).map_or(0, |(_, last)| *last)
    }

    /// Deletes the segments that no longer hold a message.
    pub(super) fn forget_segments(&self, source: &mut Source<'_>) -> Applied<()> {
        for (thread, seqs) in &self.0 {
            ThreadSegment::forget_empty(source.db, source.thread_pk(thread)?, *seqs)?;
        }
        Ok(())
    }
}

/// Returns whether a message ends with the content of its chunks: nothing has replaced it. Without the stored revision, because the row
/// was damaged or another store overwrites it, that is unknown.
fn keeps_content(source: &Source<'_>, key: &MessageKey, row: &MessageRow) -> bool {
    let stored = source.messages.get(key).and_then(|stored| stored.revision);
    let is_replaced = stored.is_none_or(|revision| row.replaced > revision);
    !is_replaced && !row.is_tombstone() && !row.state.is_open()
}

/// Returns the messages that replace a deleted message of their id. Only row images give a message another sequence number.
fn saved_again<'s>(
    source: &Source<'_>,
    staged: &'s StagedRows,
) -> Result<Vec<(&'s MessageKey, &'s MessageRow)>, PersistError> {
    let mut again = Vec::new();
    if source.overwrites {
        return Ok(again);
    }
    for (key, row) in staged.messages.updated().filter(|(_, row)| !row.is_tombstone()) {
        if stored(&source.messages, key)?.seq != row.seq.map(|seq| number(seq.get())) {
            again.push((key, row));
        }
    }
    Ok(again)
}

/// Erases the rows of removed messages except their ids, and deletes the obsolete chunks. The rows of deleted messages whose ids are
/// used again are deleted completely.
pub(super) fn erase(
    source: &mut Source<'_>,
    staged: &StagedRows,
    at: &Positions,
) -> Applied<RemovedMessages> {
    let mut removed = RemovedMessages::default();
    source.delete_obsolete_chunks(staged)?;
    for (key, _) in staged.chunks.deleted() {
        let ended = staged.messages.known(key).flatten().filter(|row| keeps_content(source, key, row));
        source.delete_chunks(key, ended)?;
    }
    for (key, row) in staged.messages.updated().filter(|(_, row)| row.is_tombstone()) {
        let (stored, position) = (stored(&source.messages, key)?, at.of(row.last_change));
        let (message_pk, seq, blob) = (stored.message_pk, stored.seq, stored.content.blob().cloned());
        let thread_pk = source.thread_pk(&key.thread)?;
        source.dropped(blob.as_ref());
        // Not an update: only a deletion makes SQLite join pages that it leaves nearly empty.
        source.db.prepare_cached("DELETE FROM messages WHERE message_pk = ?1")?.execute([message_pk])?;
        insert_tombstone(
            source.db,
            Some(message_pk),
            thread_pk,
            key,
            (number(row.revision.get()), position),
        )?;
        if let Some(seq) = seq {
            removed.record(&key.thread, seq);
        }
    }
    for (key, _) in saved_again(source, staged)? {
        let stored = stored(&source.messages, key)?;
        let (message_pk, seq, blob) = (stored.message_pk, stored.seq, stored.content.blob().cloned());
        source.dropped(blob.as_ref());
        source.db.prepare_cached("DELETE FROM messages WHERE message_pk = ?1")?.execute([message_pk])?;
        if let Some(seq) = seq {
            removed.record(&key.thread, seq);
        }
    }
    Ok(removed)
}

/// Clears the sequence numbers of the messages that row images give another one. Messages can exchange theirs, and the
/// index of the order holds each number once.
pub(super) fn free_seqs(source: &Source<'_>, staged: &StagedRows) -> Applied<()> {
    if !source.overwrites {
        return Ok(());
    }
    for (key, row) in staged.messages.updated().filter(|(_, row)| !row.is_tombstone()) {
        let stored = stored(&source.messages, key)?;
        if stored.seq.is_some() && stored.seq != row.seq.map(|seq| number(seq.get())) {
            source
                .db
                .prepare_cached("UPDATE messages SET seq = NULL WHERE message_pk = ?1")?
                .execute([stored.message_pk])?;
        }
    }
    Ok(())
}

fn stored<'s>(messages: &'s LoadedMessages, key: &MessageKey) -> Result<&'s StoredMessage, PersistError> {
    messages.get(key).ok_or_else(|| {
        let lost = format!("the stored row of the message `{}` was not loaded", key.id);
        PersistError::new(ErrorKind::Internal, lost)
    })
}

/// Inserts the new messages, each with its segment in the order of its thread.
pub(super) fn insert(
    source: &mut Source<'_>,
    staged: &StagedRows,
    at: &Positions,
    removed: &mut RemovedMessages,
) -> Applied<()> {
    let db = source.db;
    let mut added: Vec<(&MessageKey, &MessageRow)> = staged.messages.added().collect();
    // The full-text index and the copies of the store know a message by its number, which stays that of the id.
    let again = saved_again(source, staged)?;
    let mut numbers: HashMap<&MessageKey, i64> = HashMap::new();
    for (key, row) in again {
        numbers.insert(key, stored(&source.messages, key)?.message_pk);
        added.push((key, row));
    }
    if added.is_empty() {
        return Ok(());
    }
    added.sort_unstable_by(|(a, a_row), (b, b_row)| (&a.thread, a_row.seq).cmp(&(&b.thread, b_row.seq)));
    let mut insert = db.prepare_cached(
        "INSERT INTO messages (thread_pk, message_id, seq, segment, role, state, revision, appends, content_bytes, \
         tail, lease_ms, lease_expires_at, created_at, updated_at, position, checksum, metadata, attachments, \
         abandon_reason, content, message_pk) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)",
    )?;
    let mut last: Option<(&ThreadKey, i64)> = None;
    for (key, row) in added {
        let position = at.of(row.last_change);
        let Some(seq) = row.seq.map(|seq| number(seq.get())) else {
            // Added and removed by this transaction: its sequence number counts as assigned anyway.
            let thread_pk = source.thread_pk(&key.thread)?;
            let revision = number(row.revision.get());
            let message_pk = insert_tombstone(db, None, thread_pk, key, (revision, position))?;
            let given =
                staged.threads.known(&key.thread).flatten().map_or(0, |row| number(row.last_seq.get()));
            removed.record(&key.thread, given);
            source.messages.insert(key.clone(), StoredMessage::new(message_pk, None));
            continue;
        };
        let Some(thread) = source.stored_thread(&key.thread)? else { continue };
        let end = match last {
            Some((of, seq)) if *of == key.thread => seq,
            _ => number(thread.row.last_seq.get()),
        };
        let segment = if seq > end {
            thread.append_to_order(db, (end, seq), at.segment(position))?
        } else {
            thread.insert_into_order(db, seq, at.segment(position))?
        };
        last = Some((&key.thread, seq.max(end)));
        let content = staged.contents.known(key).flatten().cloned().unwrap_or_else(Content::empty);
        let thread_pk = thread.thread_pk;
        let column = source.column(&content)?;
        let Encoded { metadata, attachments, lease, checksum, .. } =
            Encoded::new(key, row, &column, (0, None), position);
        let (lease_ms, lease_expires_at) = lease.unzip();
        insert
            .execute(params![
                thread_pk,
                key.id.as_str(),
                seq,
                segment,
                row.role.as_str(),
                row.state.as_str(),
                number(row.revision.get()),
                number(row.length.bytes),
                row.tail_code(),
                lease_ms,
                lease_expires_at,
                row.created_at.as_micros(),
                row.updated_at.as_micros(),
                position,
                checksum,
                metadata,
                attachments,
                row.abandon_reason,
                column,
                numbers.get(key),
            ])
            .map_err(|error| explain(key, at, error))?;
        // Its chunks and its entries in the index follow; and a replica looks for the rows that it has written from images.
        if row.chunks > 0 || source.overwrites || numbers.contains_key(key) || staged.indexed.is_changed(key)
        {
            let stored = StoredMessage::new(db.last_insert_rowid(), Some(seq));
            source.messages.insert(key.clone(), StoredMessage { state: Some(row.state), ..stored });
        }
    }
    Ok(())
}

impl StoredMessage {
    /// A row of this transaction.
    fn new(message_pk: i64, seq: Option<i64>) -> Self {
        Self { appends: Some(0), is_new: true, ..Self::damaged(message_pk, seq) }
    }

    /// A stored row of which nothing else was read.
    fn damaged(message_pk: i64, seq: Option<i64>) -> Self {
        let content = StoredContent::Inline(Content::empty());
        Self {
            message_pk,
            seq,
            state: None,
            revision: None,
            appends: None,
            last_append: None,
            content,
            is_new: false,
        }
    }
}

/// Returns the owner of a tombstone.
fn owner(key: &MessageKey) -> [&str; 3] {
    [key.thread.tenant.as_str(), key.thread.thread.as_str(), key.id.as_str()]
}

/// Inserts a tombstone with this number, or with a new one, for the last revision of a message and the position of its deletion.
fn insert_tombstone(
    db: &Connection,
    message_pk: Option<i64>,
    thread_pk: i64,
    key: &MessageKey,
    (revision, position): (i64, i64),
) -> rusqlite::Result<i64> {
    db.prepare_cached(
        "INSERT INTO messages (message_pk, thread_pk, message_id, seq, segment, role, state, revision, appends, \
         content_bytes, tail, created_at, updated_at, position, checksum, metadata, content) \
         VALUES (?6, ?1, ?2, NULL, 0, 'user', ?3, ?7, 0, 0, 0, 0, 0, ?4, ?5, '{}', '[]')",
    )?
    .execute(params![
        thread_pk,
        key.id.as_str(),
        DELETED,
        position,
        tombstone_checksum(&owner(key), revision, position),
        message_pk,
        revision,
    ])?;
    Ok(db.last_insert_rowid())
}

/// Returns the failure for a new message that an index refuses: an id that was taken for new exists, or the order is
/// damaged.
fn explain(key: &MessageKey, at: &Positions, error: rusqlite::Error) -> Failure {
    if !is_taken(&error) || !at.ids_are_known {
        return error.into();
    }
    let damage = corrupt("the sequence number after the last one of the thread is in use".to_owned());
    damage.about(&key.thread.thread, &key.id).into()
}

/// Writes the changed messages, without the removed ones.
pub(super) fn update(source: &mut Source<'_>, staged: &StagedRows, at: &Positions) -> Applied<()> {
    let db = source.db;
    for (key, row) in staged.messages.changed().filter(|(_, row)| !row.is_tombstone()) {
        let Some(stored) = source.messages.get(key).cloned() else { continue };
        if stored.is_new && row.chunks == 0 {
            continue;
        }
        let message_pk = stored.message_pk;
        let position = at.of(row.last_change);
        let changed = staged.contents.is_changed(key);
        let content = staged.contents.known(key).flatten().filter(|_| changed);
        let column = match content {
            Some(content) => source.column(content)?,
            None => Cow::Borrowed(stored.content.as_column()),
        };
        if stored.content.as_column() != column {
            source.dropped(stored.content.blob());
        }
        let appends = (stored.appends.unwrap_or_default(), stored.last_append);
        let encoded = Encoded::new(key, row, &column, appends, position);
        let seq = row.seq.map(|seq| number(seq.get()));
        // A damaged row is written completely, and so is one of another store.
        if source.overwrites || stored.appends.is_none() || stored.seq != seq {
            let Some(thread) = source.stored_thread(&key.thread)? else { continue };
            let segment = match seq {
                Some(seq) if stored.seq != Some(seq) => {
                    Some(thread.insert_into_order(db, seq, at.segment(position))?)
                }
                _ => None,
            };
            overwrite(db, message_pk, &encoded, segment)?;
            continue;
        }
        if stored.state != Some(row.state) {
            // In a separate statement: setting the state, even to the same value, writes a page of the index of open
            // messages.
            db.prepare_cached("UPDATE messages SET state = ?2 WHERE message_pk = ?1")?
                .execute(params![message_pk, row.state.as_str()])?;
        }
        update_row(db, message_pk, &encoded, changed)?;
    }
    Ok(())
}

macro_rules! set_row {
    () => {
        "UPDATE messages SET revision = ?2, appends = ?3, last_append = ?4, content_bytes = ?5, tail = ?6, \
         lease_ms = ?7, lease_expires_at = ?8, updated_at = ?9, position = ?10, checksum = ?11, metadata = ?12, \
         attachments = ?13, abandon_reason = ?14"
    };
}

/// Writes the columns of a message that can change, without its state. Writes the content only if it has changed.
fn update_row(
    db: &Connection,
    message_pk: i64,
    encoded: &Encoded<'_>,
    content: bool,
) -> rusqlite::Result<()> {
    const WITHOUT_CONTENT: &str = concat!(set_row!(), " WHERE message_pk = ?1");
    const WITH_CONTENT: &str = concat!(set_row!(), ", content = ?15 WHERE message_pk = ?1");
    let Encoded { row, appends, last_append, position, metadata, attachments, lease, checksum, .. } = encoded;
    let (lease_ms, lease_expires_at) = lease.unzip();
    let mut statement = db.prepare_cached(if content { WITH_CONTENT } else { WITHOUT_CONTENT })?;
    let parameters = params![
        message_pk,
        number(row.revision.get()),
        appends,
        last_append,
        number(row.length.bytes),
        row.tail_code(),
        lease_ms,
        lease_expires_at,
        row.updated_at.as_micros(),
        position,
        checksum,
        metadata,
        attachments,
        row.abandon_reason,
        encoded.content,
    ];
    let used = if content { parameters } else { &parameters[..parameters.len() - 1] };
    statement.execute(used)?;
    Ok(())
}

/// Writes every column of a message except its identity; its segment only if there is one.
fn overwrite(
    db: &Connection,
    message_pk: i64,
    encoded: &Encoded<'_>,
    segment: Option<i64>,
) -> rusqlite::Result<()> {
    let row = encoded.row;
    db.prepare_cached(
        "UPDATE messages SET seq = ?2, role = ?3, state = ?4, created_at = ?5, segment = coalesce(?6, segment) \
         WHERE message_pk = ?1",
    )?
    .execute(params![
        message_pk,
        row.seq.map(|seq| number(seq.get())),
        row.role.as_str(),
        row.state.as_str(),
        row.created_at.as_micros(),
        segment,
    ])?;
    update_row(db, message_pk, encoded, true)
}
