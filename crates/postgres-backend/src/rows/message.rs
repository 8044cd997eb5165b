//! Messages, without what they say.

use std::{collections::HashMap, time::Duration};

use sqlx::{PgConnection, Row as _, postgres::PgRow};
use throughline_core::{
    AttachmentKey, Content, Lease, Message, MessageId, MessageState, Metadata, Revision, Role, Seq, TenantId,
    ThreadId, Timestamp,
    backend::{Length, Tail},
};

use super::{MessageKey, Rows, Writing, counter, number, session::json};
use crate::error::damaged;

/// A message, or what a deleted one has left.
#[derive(Debug, Clone)]
pub(crate) struct MessageRow {
    /// Nothing for a deleted one.
    pub(crate) seq: Option<Seq>,
    pub(crate) role: Role,
    pub(crate) state: MessageState,
    pub(crate) revision: Revision,
    /// How many pieces were ever written to it since it was begun.
    pub(crate) pieces: u64,
    /// The first of them that counts: what was replaced does not.
    pub(crate) first_piece: u64,
    pub(crate) length: Length,
    pub(crate) lease: Option<Lease>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) metadata: Metadata,
    pub(crate) attachments: Vec<AttachmentKey>,
    pub(crate) abandon_reason: Option<String>,
}

/// What the role and the state of a deleted row are: none of a message.
const DELETED: &str = "deleted";

impl MessageRow {
    /// The row of a message that is new.
    pub(crate) fn of(message: &Message) -> Self {
        Self {
            seq: Some(message.seq),
            role: message.role,
            state: message.state,
            revision: message.revision,
            pieces: 0,
            first_piece: 1,
            length: Length::settled(&message.content),
            lease: message.lease,
            created_at: message.created_at,
            updated_at: message.updated_at,
            metadata: message.metadata.clone(),
            attachments: message.attachments.clone(),
            abandon_reason: message.abandon_reason.clone(),
        }
    }

    /// What is left of it once it is deleted.
    pub(crate) fn dead(&self) -> Self {
        Self {
            seq: None,
            metadata: Metadata::new(),
            attachments: Vec::new(),
            abandon_reason: None,
            lease: None,
            pieces: 0,
            first_piece: 1,
            length: Length { bytes: 0, tail: Tail::Nothing },
            ..self.clone()
        }
    }

    pub(crate) fn message(
        &self,
        tenant: &TenantId,
        thread: &ThreadId,
        id: &MessageId,
        content: Content,
    ) -> Message {
        Message {
            tenant: tenant.clone(),
            thread: thread.clone(),
            id: id.clone(),
            seq: self.seq.unwrap_or(Seq::ZERO),
            role: self.role,
            state: self.state,
            revision: self.revision,
            content,
            metadata: self.metadata.clone(),
            attachments: self.attachments.clone(),
            abandon_reason: self.abandon_reason.clone(),
            lease: self.lease,
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }

    /// Reads [`message_columns!`]; nothing where they are damaged.
    pub(crate) fn decode(row: &PgRow) -> sqlx::Result<Option<Self>> {
        let seq: Option<i64> = row.try_get("seq")?;
        let role: &str = row.try_get("role")?;
        let state: &str = row.try_get("state")?;
        let is_dead = seq.is_none() && state == DELETED;
        let lease_ms: Option<i64> = row.try_get("lease_ms")?;
        let expires_at: Option<i64> = row.try_get("lease_expires_at")?;
        let (metadata, attachments): (Option<&str>, Option<&str>) =
            (row.try_get("metadata")?, row.try_get("attachments")?);
        let reason: Option<&str> = row.try_get("abandon_reason")?;
        let times: (i64, i64) = (row.try_get("created_at")?, row.try_get("updated_at")?);
        let count = |column| row.try_get(column).map(counter);
        let counts = (count("revision")?, count("pieces")?, count("first_piece")?, count("content_bytes")?);
        let tail = Tail::from_code(row.try_get("tail")?);
        let decoded = || {
            let lease = match (lease_ms, expires_at) {
                (Some(ms), Some(at)) => Some(Lease {
                    duration: Duration::from_millis(counter(ms)?),
                    expires_at: Timestamp::from_micros(at),
                }),
                _ => None,
            };
            Some(Self {
                seq: match seq {
                    Some(seq) => Some(Seq::new(counter(seq)?)),
                    None if is_dead => None,
                    None => return None,
                },
                role: Role::from_name(role)?,
                state: if is_dead { MessageState::Abandoned } else { MessageState::from_name(state)? },
                revision: Revision::new(counts.0?),
                pieces: counts.1?,
                first_piece: counts.2?,
                length: Length { bytes: counts.3?, tail: tail? },
                lease,
                created_at: Timestamp::from_micros(times.0),
                updated_at: Timestamp::from_micros(times.1),
                metadata: metadata.map_or(Some(Metadata::new()), |json| serde_json::from_str(json).ok())?,
                attachments: attachments.map_or(Some(Vec::new()), |json| serde_json::from_str(json).ok())?,
                abandon_reason: match reason {
                    Some(json) => Some(serde_json::from_str(json).ok()?),
                    None => None,
                },
            })
        };
        Ok(decoded())
    }
}

/// What cannot be read of a thread.
pub(crate) fn lacking(thread: &str, id: &str) -> sqlx::Error {
    damaged(format!("the stored message `{id}` of the thread `{thread}`"))
}

/// The columns of a message but for its content, as `m`.
macro_rules! message_columns {
    () => {
        "m.thread, m.id, m.seq, m.role, m.state, m.revision, m.pieces, m.first_piece, m.content_bytes, m.tail, \
         m.lease_ms, m.lease_expires_at, m.created_at, m.updated_at, m.metadata, m.attachments, m.abandon_reason"
    };
}
pub(crate) use message_columns;

/// The same, and the content, of rows that were selected by them.
pub(crate) const SELECTED: &str = "thread, id, seq, role, state, revision, pieces, first_piece, content_bytes, tail, lease_ms, \
    lease_expires_at, created_at, updated_at, metadata, attachments, abandon_reason, content";

const READ: &str = concat!(
    "SELECT m.tenant, ",
    message_columns!(),
    " FROM unnest($1::text[], $2::text[], $3::text[]) AS k (tenant, thread, id) \
     JOIN throughline.messages m ON m.tenant = k.tenant AND m.thread = k.thread AND m.id = k.id"
);

pub(super) async fn read(rows: &mut Rows, db: &mut PgConnection) -> sqlx::Result<()> {
    let keys = rows.messages.take_unread();
    if keys.is_empty() {
        return Ok(());
    }
    let [tenants, threads, ids] = columns(&keys);
    let found = sqlx::query(READ).bind(tenants).bind(threads).bind(ids).fetch_all(db).await?;
    let mut read = HashMap::with_capacity(found.len());
    for row in &found {
        let key: (&str, &str, &str) = (row.try_get("tenant")?, row.try_get("thread")?, row.try_get("id")?);
        let message = MessageRow::decode(row)?.ok_or_else(|| lacking(key.1, key.2))?;
        read.insert(key, message);
    }
    for key in &keys {
        let row = read.remove(&(key.0.0.as_str(), key.0.1.as_str(), key.1.as_str()));
        rows.messages.read(key.clone(), row);
    }
    Ok(())
}

/// The parts of keys, each as a column.
pub(super) fn columns(keys: &[MessageKey]) -> [Vec<&str>; 3] {
    let part = |of: fn(&MessageKey) -> &str| keys.iter().map(of).collect();
    [part(|key| key.0.0.as_str()), part(|key| key.0.1.as_str()), part(|key| key.1.as_str())]
}

/// What both statements that write messages are given, in the order in which [`bind`] does.
macro_rules! given {
    () => {
        "unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::bigint[], $8::bigint[], \
         $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[], $16::text[], \
         $17::text[], $18::text[], $19::text[]) AS k (tenant, thread, id, seq, role, state, revision, pieces, first_piece, \
         content_bytes, tail, lease_ms, lease_expires_at, created_at, updated_at, metadata, attachments, abandon_reason, content)"
    };
}

const INSERT: &str = concat!(
    "INSERT INTO throughline.messages (tenant, thread, id, seq, role, state, revision, pieces, first_piece, content_bytes, \
     tail, lease_ms, lease_expires_at, created_at, updated_at, metadata, attachments, abandon_reason, content) \
     SELECT k.* FROM ",
    given!()
);

const UPDATE: &str = concat!(
    "UPDATE throughline.messages m SET seq = k.seq, state = k.state, revision = k.revision, pieces = k.pieces, \
     first_piece = k.first_piece, content_bytes = k.content_bytes, tail = k.tail, lease_ms = k.lease_ms, \
     lease_expires_at = k.lease_expires_at, updated_at = k.updated_at, metadata = k.metadata, attachments = k.attachments, \
     abandon_reason = k.abandon_reason, \
     content = CASE WHEN k.seq IS NULL THEN NULL ELSE coalesce(k.content, m.content) END FROM ",
    given!(),
    " WHERE m.tenant = k.tenant AND m.thread = k.thread AND m.id = k.id"
);

pub(super) fn write(rows: &Rows, writing: &mut Writing) {
    let contents: HashMap<&MessageKey, &Content> = rows.contents.changed().collect();
    for (changed, sql) in rows.messages.added_and_updated().iter().zip([INSERT, UPDATE]) {
        if !changed.is_empty() {
            bind(changed, &contents, writing.part(sql));
        }
    }
}

fn bind(
    changed: &[(&MessageKey, &MessageRow)],
    contents: &HashMap<&MessageKey, &Content>,
    part: &mut Writing,
) {
    let count = |of: fn(&MessageRow) -> i64| changed.iter().map(|(_, row)| of(row)).collect::<Vec<_>>();
    let maybe =
        |of: fn(&MessageRow) -> Option<i64>| changed.iter().map(|(_, row)| of(row)).collect::<Vec<_>>();
    let text =
        |of: fn(&MessageRow) -> Option<String>| changed.iter().map(|(_, row)| of(row)).collect::<Vec<_>>();
    let name =
        |of: fn(&MessageRow) -> &'static str| changed.iter().map(|(_, row)| of(row)).collect::<Vec<_>>();
    let content = |(key, row): &(&MessageKey, &MessageRow)| {
        let content = contents.get(key).filter(|_| row.seq.is_some());
        content.map(|content| content.as_json())
    };
    part.bind(changed.iter().map(|(key, _)| key.0.0.as_str()).collect::<Vec<_>>())
        .bind(changed.iter().map(|(key, _)| key.0.1.as_str()).collect::<Vec<_>>())
        .bind(changed.iter().map(|(key, _)| key.1.as_str()).collect::<Vec<_>>())
        .bind(maybe(|row| row.seq.map(|seq| number(seq.get()))))
        .bind(name(|row| row.role.as_str()))
        .bind(name(|row| if row.seq.is_some() { row.state.as_str() } else { DELETED }))
        .bind(count(|row| number(row.revision.get())))
        .bind(count(|row| number(row.pieces)))
        .bind(count(|row| number(row.first_piece)))
        .bind(count(|row| number(row.length.bytes)))
        .bind(count(|row| row.length.tail.code()))
        .bind(maybe(|row| {
            let lease = row.lease?;
            Some(i64::try_from(lease.duration.as_millis()).unwrap_or(i64::MAX))
        }))
        .bind(maybe(|row| row.lease.map(|lease| lease.expires_at.as_micros())))
        .bind(count(|row| row.created_at.as_micros()))
        .bind(count(|row| row.updated_at.as_micros()))
        .bind(text(|row| (!row.metadata.is_empty()).then(|| json(&row.metadata))))
        .bind(text(|row| (!row.attachments.is_empty()).then(|| json(&row.attachments))))
        .bind(text(|row| row.abandon_reason.as_ref().map(json)))
        .bind(changed.iter().map(content).collect::<Vec<_>>());
}
