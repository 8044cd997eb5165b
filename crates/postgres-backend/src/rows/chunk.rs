//! Chunks of open messages, and the content that they build.

use std::collections::{HashMap, hash_map::Entry};

use sqlx::{PgConnection, Row as _, postgres::PgRow};
use throughline_core::Content;
use throughline_engine::{
    StagedRows,
    rows::{ChunkKind, ContentBuilder, MessageKey, chunk_text},
};

use super::{
    Source, Writing,
    apart::short_columns,
    message::{columns, decode_damaged},
    number,
};

/// Adds a stored chunk; `None` if it is damaged.
pub(crate) fn push_stored(builder: &mut ContentBuilder, kind: i64, text: &[u8]) -> Option<()> {
    builder.push_stored(ChunkKind::from_code(kind)?, str::from_utf8(text).ok()?)
}

/// The content and the chunks of messages, grouped by message.
const READ: &str = "SELECT m.tenant, m.thread, m.id, m.seq, m.revision, m.tail, m.state, m.content, p.n, p.kind, p.delta, \
    m.chunks - m.first_chunk + 1 AS due \
    FROM unnest($1::text[], $2::text[], $3::text[]) AS k (tenant, thread, id) \
    JOIN throughline.messages m ON m.tenant = k.tenant AND m.thread = k.thread AND m.id = k.id AND m.seq IS NOT NULL \
    LEFT JOIN throughline.chunks p ON p.tenant = m.tenant AND p.thread = m.thread AND p.id = m.id AND p.n >= m.first_chunk \
    ORDER BY m.tenant, m.thread, m.id, p.n";

/// The content of a message as far as it was read.
struct Stored<'r> {
    row: &'r PgRow,
    /// `None` if a chunk is damaged.
    builder: Option<ContentBuilder>,
    /// How many chunks are still missing.
    due: i64,
}

pub(super) async fn load(source: &mut Source, db: &mut PgConnection) -> sqlx::Result<()> {
    let keys = source.contents.take_wanted();
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
                    source.contents.insert_damaged(key, damaged);
                }
            }
        }
    }
    Ok(())
}

fn insert_found(source: &mut Source, keys: &[MessageKey], found: &[PgRow]) -> sqlx::Result<()> {
    let mut contents: HashMap<(&str, &str, &str), Stored<'_>> = HashMap::new();
    for row in found {
        let key: (&str, &str, &str) = (row.try_get("tenant")?, row.try_get("thread")?, row.try_get("id")?);
        let stored = match contents.entry(key) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let json: Option<&str> = row.try_get("content")?;
                let base = json.and_then(|json| Content::from_json(json).ok());
                entry.insert(Stored { row, builder: base.map(ContentBuilder::new), due: row.try_get("due")? })
            }
        };
        if let Some(kind) = row.try_get("kind")? {
            let text: &[u8] = row.try_get("delta")?;
            stored.builder = stored
                .builder
                .take()
                .and_then(|mut builder| push_stored(&mut builder, kind, text).map(|()| builder));
            stored.due -= 1;
        }
    }
    for key in keys {
        let MessageKey { thread, id } = key;
        let Some(stored) = contents.remove(&(thread.tenant.as_str(), thread.thread.as_str(), id.as_str()))
        else {
            source.contents.insert(key.clone(), None);
            continue;
        };
        // A missing chunk means damage.
        match stored.builder.filter(|_| stored.due == 0) {
            Some(builder) => source.contents.insert(key.clone(), Some(builder.content())),
            None => {
                let damaged = source.record_damaged(key, decode_damaged(stored.row)?);
                source.contents.insert_damaged(key.clone(), damaged);
            }
        }
    }
    Ok(())
}

pub(super) fn write(staged: &StagedRows, writing: &mut Writing) {
    let deleted: Vec<_> = staged.chunks.deleted().collect();
    if !deleted.is_empty() {
        let [tenants, threads, ids] = columns(deleted.iter().map(|(key, _)| *key));
        writing
            .part(
                "DELETE FROM throughline.chunks p USING unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) \
                 AS k (tenant, thread, id, below) \
                 WHERE p.tenant = k.tenant AND p.thread = k.thread AND p.id = k.id AND p.n < k.below",
            )
            .bind(tenants)
            .bind(threads)
            .bind(ids)
            .bind(deleted.iter().map(|(_, below)| number(*below)).collect::<Vec<_>>());
    }
    let inserted: Vec<_> = staged.chunks.inserted().collect();
    if inserted.is_empty() {
        return;
    }
    let [tenants, threads, ids] = columns(inserted.iter().map(|(key, _)| *key));
    let (kinds, texts): (Vec<i64>, Vec<&[u8]>) = inserted
        .iter()
        .map(|(_, chunk)| {
            let (kind, text) = chunk_text(&chunk.change);
            (kind.code(), text.as_bytes())
        })
        .unzip();
    writing
        .part(
            "INSERT INTO throughline.chunks (tenant, thread, id, n, kind, delta) \
             SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bytea[])",
        )
        .bind(tenants)
        .bind(threads)
        .bind(ids)
        .bind(inserted.iter().map(|(_, chunk)| number(chunk.number)).collect::<Vec<_>>())
        .bind(kinds)
        .bind(texts);
}
