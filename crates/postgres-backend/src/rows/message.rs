//! Rows of messages, without their content.

use std::{collections::HashMap, time::Duration};

use sqlx::{PgConnection, Row as _, postgres::PgRow};
use throughline_core::{
    Content, Lease, MessageState, Metadata, Revision, Role, Seq, Timestamp,
    backend::{Length, Tail},
};
use throughline_engine::{
    StagedRows,
    rows::{DamagedRow, LastChange, MessageKey, MessageRow},
};

use super::{Source, Writing, apart::short_columns, counter, number, session::json};

/// The role and the state of a deleted row, which no message has.
const DELETED: &str = "deleted";

/// Decodes [`message_columns!`]; `None` if they are damaged.
pub(crate) fn decode_message(row: &PgRow) -> sqlx::Result<Option<MessageRow>> {
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
    let counts = (count("revision")?, count("chunks")?, count("first_chunk")?, count("content_bytes")?);
    let tail = MessageRow::from_tail_code(row.try_get("tail")?);
    let decoded = || {
        let (tail, replaced) = tail?;
        let lease = match (lease_ms, expires_at) {
            (Some(ms), Some(at)) => Some(Lease {
                duration: Duration::from_millis(counter(ms)?),
                expires_at: Timestamp::from_micros(at),
            }),
            _ => None,
        };
        Some(MessageRow {
            seq: match seq {
                Some(seq) => Some(Seq::new(counter(seq)?)),
                None if is_dead => None,
                None => return None,
            },
            role: Role::from_name(role)?,
            state: if is_dead { MessageState::Abandoned } else { MessageState::from_name(state)? },
            revision: Revision::new(counts.0?),
            replaced,
            chunks: counts.1?,
            first_chunk: counts.2?,
            length: Length { bytes: counts.3?, tail },
            lease,
            created_at: Timestamp::from_micros(times.0),
            updated_at: Timestamp::from_micros(times.1),
            metadata: metadata.map_or(Some(Metadata::new()), |json| serde_json::from_str(json).ok())?,
            attachments: attachments.map_or(Some(Vec::new()), |json| serde_json::from_str(json).ok())?,
            abandon_reason: match reason {
                Some(json) => Some(serde_json::from_str(json).ok()?),
                None => None,
            },
            // The table keeps no positions.
            last_change: LastChange::Stored(0),
        })
    };
    Ok(decoded())
}

/// The columns of a message `m` except its content.
macro_rules! message_columns {
    () => {
        "m.thread, m.id, m.seq, m.role, m.state, m.revision, m.chunks, m.first_chunk, m.content_bytes, m.tail, \
         m.lease_ms, m.lease_expires_at, m.created_at, m.updated_at, m.metadata, m.attachments, m.abandon_reason"
    };
}
pub(crate) use message_columns;

/// The same columns and the content, without the qualifier.
pub(crate) const SELECTED: &str = "thread, id, seq, role, state, revision, chunks, first_chunk, content_bytes, tail, lease_ms, \
    lease_expires_at, created_at, updated_at, metadata, attachments, abandon_reason, content";

const READ: &str = concat!(
    "SELECT m.tenant, ",
    message_columns!(),
    " FROM unnest($1::text[], $2::text[], $3::text[]) AS k (tenant, thread, id) \
     JOIN throughline.messages m ON m.tenant = k.tenant AND m.thread = k.thread AND m.id = k.id"
);

pub(super) async fn load(source: &mut Source, db: &mut PgConnection) -> sqlx::Result<()> {
    let keys = source.messages.take_wanted();
    if keys.is_empty() {
        return Ok(());
    }
    let loading = source.loading;
    for keys in loading.groups(keys) {
        let [tenants, threads, ids] = columns(keys.iter());
        let query = sqlx::query(READ).bind(tenants).bind(threads).bind(ids);
        match loading.fetch(db, query).await? {
            Some(found) => insert_found(source, &keys, &found)?,
            None => {
                for key in keys {
                    let damaged = source.record_damaged(&key, short_columns(db, &key).await?);
                    source.messages.insert_damaged(key, damaged);
                }
            }
        }
    }
    Ok(())
}

fn insert_found(source: &mut Source, keys: &[MessageKey], found: &[PgRow]) -> sqlx::Result<()> {
    let mut rows: HashMap<(&str, &str, &str), &PgRow> = HashMap::with_capacity(found.len());
    for row in found {
        rows.insert((row.try_get("tenant")?, row.try_get("thread")?, row.try_get("id")?), row);
    }
    for key in keys {
        let found = rows.get(&(key.thread.tenant.as_str(), key.thread.thread.as_str(), key.id.as_str()));
        let Some(row) = found else {
            source.messages.insert(key.clone(), None);
            continue;
        };
        match decode_message(row)? {
            Some(message) => source.messages.insert(key.clone(), Some(message)),
            None => {
                let damaged = source.record_damaged(key, decode_damaged(row)?);
                source.messages.insert_damaged(key.clone(), damaged);
            }
        }
    }
    Ok(())
}

/// Decodes the row of a message that a purge removes, as far as it is readable. The sequence number is known from
/// the query.
pub(super) fn decode_purgeable(row: &PgRow, seq: Seq) -> sqlx::Result<MessageRow> {
    if let Some(message) = decode_message(row)? {
        return Ok(message);
    }
    let DamagedRow { revision, state, .. } = decode_damaged(row)?;
    let attachments: Option<&str> = row.try_get("attachments")?;
    Ok(MessageRow {
        role: Role::from_name(row.try_get("role")?).unwrap_or(Role::User),
        state: state.unwrap_or(MessageState::Abandoned),
        revision,
        chunks: counter(row.try_get("chunks")?).unwrap_or(ALL_CHUNKS),
        created_at: Timestamp::from_micros(row.try_get("created_at")?),
        updated_at: Timestamp::from_micros(row.try_get("updated_at")?),
        attachments: attachments.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default(),
        ..unreadable_purgeable(seq)
    })
}

/// The same if the server cannot read the row.
pub(super) fn unreadable_purgeable(seq: Seq) -> MessageRow {
    MessageRow {
        seq: Some(seq),
        role: Role::User,
        state: MessageState::Abandoned,
        revision: Revision::FIRST,
        replaced: Revision::ZERO,
        chunks: ALL_CHUNKS,
        first_chunk: 1,
        length: Length { bytes: 0, tail: Tail::Nothing },
        lease: None,
        created_at: Timestamp::from_micros(0),
        updated_at: Timestamp::from_micros(0),
        metadata: Metadata::new(),
        attachments: Vec::new(),
        abandon_reason: None,
        last_change: LastChange::Stored(0),
    }
}

/// More chunks than a message can have; used if the number is damaged.
const ALL_CHUNKS: u64 = i64::MAX as u64 - 1;

/// Decodes the readable columns of a damaged message.
pub(super) fn decode_damaged(row: &PgRow) -> sqlx::Result<DamagedRow> {
    let (seq, revision): (Option<i64>, i64) = (row.try_get("seq")?, row.try_get("revision")?);
    Ok(DamagedRow {
        seq: seq.and_then(counter).map_or(Seq::ZERO, Seq::new),
        revision: counter(revision).map_or(Revision::FIRST, Revision::new),
        replaced: MessageRow::from_tail_code(row.try_get("tail")?)
            .map_or(Revision::ZERO, |(_, replaced)| replaced),
        state: MessageState::from_name(row.try_get("state")?),
    })
}

/// Returns each part of the keys as a column.
pub(super) fn columns<'k>(keys: impl Iterator<Item = &'k MessageKey>) -> [Vec<&'k str>; 3] {
    let mut columns = [vec![], vec![], vec![]];
    for MessageKey { thread, id } in keys {
        for (column, part) in
            columns.iter_mut().zip([thread.tenant.as_str(), thread.thread.as_str(), id.as_str()])
        {
            column.push(part);
        }
    }
    columns
}

/// The parameters of both statements that write messages, in the order of [`bind`].
macro_rules! given {
    () => {
        "unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::bigint[], $8::bigint[], \
         $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[], $16::text[], \
         $17::text[], $18::text[], $19::text[]) AS k (tenant, thread, id, seq, role, state, revision, chunks, first_chunk, \
         content_bytes, tail, lease_ms, lease_expires_at, created_at, updated_at, metadata, attachments, abandon_reason, content)"
    };
}

const INSERT: &str = concat!(
    "INSERT INTO throughline.messages (tenant, thread, id, seq, role, state, revision, chunks, first_chunk, content_bytes, \
     tail, lease_ms, lease_expires_at, created_at, updated_at, metadata, attachments, abandon_reason, content) \
     SELECT k.* FROM ",
    given!()
);

const UPDATE: &str = concat!(
    "UPDATE throughline.messages m SET seq = k.seq, role = k.role, state = k.state, revision = k.revision, chunks = k.chunks, \
     first_chunk = k.first_chunk, content_bytes = k.content_bytes, tail = k.tail, lease_ms = k.lease_ms, \
     lease_expires_at = k.lease_expires_at, created_at = k.created_at, updated_at = k.updated_at, metadata = k.metadata, attachments = k.attachments, \
     abandon_reason = k.abandon_reason, \
     content = CASE WHEN k.seq IS NULL THEN NULL ELSE coalesce(k.content, m.content) END FROM ",
    given!(),
    " WHERE m.tenant = k.tenant AND m.thread = k.thread AND m.id = k.id"
);

pub(super) fn write(staged: &StagedRows, writing: &mut Writing) {
    let contents: HashMap<&MessageKey, &Content> = staged.contents.changed().collect();
    for (changed, sql) in
        [(staged.messages.added().collect::<Vec<_>>(), INSERT), (staged.messages.updated().collect(), UPDATE)]
    {
        if !changed.is_empty() {
            bind(&changed, &contents, writing.part(sql));
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
    let [tenants, threads, ids] = columns(changed.iter().map(|(key, _)| *key));
    part.bind(tenants)
        .bind(threads)
        .bind(ids)
        .bind(maybe(|row| row.seq.map(|seq| number(seq.get()))))
        .bind(name(|row| row.role.as_str()))
        .bind(name(|row| if row.seq.is_some() { row.state.as_str() } else { DELETED }))
        .bind(count(|row| number(row.revision.get())))
        .bind(count(|row| number(row.chunks)))
        .bind(count(|row| number(row.first_chunk)))
        .bind(count(|row| number(row.length.bytes)))
        .bind(count(MessageRow::tail_code))
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
