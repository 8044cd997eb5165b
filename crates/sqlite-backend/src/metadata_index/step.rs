use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension, params, types::Value};
use throughline_core::{IndexedMetadata, Metadata};

use crate::record::Columns as _;

/// The duration of one step.
const SPAN: Duration = Duration::from_millis(5);

/// The largest number of messages, or of removed entries, in one step.
const ROWS: i64 = 256;

const MESSAGES: &str = "SELECT m.message_pk, m.thread_pk, t.tenant, t.thread, m.seq, m.created_at, m.metadata \
    FROM messages m JOIN threads t ON t.thread_pk = m.thread_pk WHERE m.message_pk > ?1 ORDER BY m.message_pk LIMIT ?2";

/// Adds an entry, or replaces the one that a writer has added.
pub(crate) const INSERT: &str = "INSERT OR REPLACE INTO metadata_values \
    (message_pk, name_pk, tenant, thread, thread_pk, seq, created_at, value) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";

/// Runs a step. Returns whether it found work.
pub(super) fn run(db: &Connection) -> rusqlite::Result<bool> {
    let dropped = db
        .prepare_cached("SELECT name_pk, recovered FROM metadata_names WHERE name IS NULL LIMIT 1")?
        .query_row([], |row| Ok((row.get(0)?, row.get::<_, Option<i64>>(1)?.unwrap_or_default())))
        .optional()?;
    if let Some((name_pk, after)) = dropped {
        remove(db, name_pk, after)?;
        return Ok(true);
    }
    let after: Option<i64> =
        db.prepare_cached("SELECT min(recovered) FROM metadata_names")?.query_row([], |row| row.get(0))?;
    match after {
        Some(after) => add(db, after).map(|()| true),
        None => Ok(false),
    }
}

/// Removes entries of a dropped name.
fn remove(db: &Connection, name_pk: i64, after: i64) -> rusqlite::Result<()> {
    let last: Option<i64> = db
        .prepare_cached(
            "SELECT max(message_pk) FROM (SELECT message_pk FROM metadata_values WHERE message_pk > ?1 \
             ORDER BY message_pk LIMIT ?2)",
        )?
        .query_row([after, ROWS], |row| row.get(0))?;
    let Some(last) = last else {
        db.prepare_cached("DELETE FROM metadata_names WHERE name_pk = ?1")?.execute([name_pk])?;
        return Ok(());
    };
    db.prepare_cached(
        "DELETE FROM metadata_values WHERE message_pk > ?1 AND message_pk <= ?2 AND name_pk = ?3",
    )?
    .execute([after, last, name_pk])?;
    db.prepare_cached("UPDATE metadata_names SET recovered = ?2 WHERE name_pk = ?1")?
        .execute([name_pk, last])?;
    Ok(())
}

/// Adds messages to the incomplete indexes.
fn add(db: &Connection, after: i64) -> rusqlite::Result<()> {
    let begun = Instant::now();
    let building: Vec<(i64, String)> = db
        .prepare_cached("SELECT name_pk, name FROM metadata_names WHERE recovered IS NOT NULL")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let names = building.iter().map(|(_, name)| name.as_str());
    let indexed = IndexedMetadata::new(names).unwrap_or_default();
    let mut statement = db.prepare_cached(MESSAGES)?;
    let mut rows = statement.query(params![after, ROWS])?;
    let mut insert = db.prepare_cached(INSERT)?;
    let mut last: Option<i64> = None;
    while let Some(row) = rows.next()? {
        let message_pk: i64 = row.get(0)?;
        // A tombstone has no sequence number. A damaged row is found when it is read.
        let metadata = row.text(6).filter(|_| !row.is_null(4));
        let metadata: Option<Metadata> = metadata.and_then(|json| serde_json::from_slice(json).ok());
        for (name, value) in metadata.iter().flat_map(|metadata| indexed.fields(metadata)) {
            let Some((name_pk, _)) = building.iter().find(|(_, of)| of == name) else { continue };
            let value = value.index_key();
            insert.execute(params![
                message_pk,
                name_pk,
                row.get::<_, Value>(2)?,
                row.get::<_, Value>(3)?,
                row.get::<_, Value>(1)?,
                row.get::<_, Value>(4)?,
                row.get::<_, Value>(5)?,
                value,
            ])?;
        }
        last = Some(message_pk);
        if begun.elapsed() >= SPAN {
            break;
        }
    }
    drop(rows);
    db.prepare_cached("UPDATE metadata_names SET recovered = ?1 WHERE recovered IS NOT NULL")?
        .execute([last])?;
    Ok(())
}
