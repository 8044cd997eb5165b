//! The chunks of ended messages, which the writer deletes together: the table `obsolete_chunks`.
//!
//! The chunks of messages that were streamed at the same time lie between each other: the deletion of those of one message writes
//! nearly a page for each of them. So the end of a message with more than [`FEW`] chunks adds the message to the table, and the writer
//! deletes the chunks of all such messages in the order of their keys, which writes each page once: see [`deletion`].
//!
//! Until then the file has the content of these messages twice. A deletion or an edit of such a message deletes its chunks in the
//! same transaction, so that nothing of the earlier content stays.

mod deletion;

use rusqlite::{Connection, OptionalExtension as _};

pub(crate) use self::deletion::Deletion;
use crate::record::{append_chain, number};

/// The end of a message deletes so many chunks by itself: they cost no more pages than the entry of the message and the later work.
pub(crate) const FEW: i64 = 8;

/// Deletes the obsolete chunks of a message, from the last one on.
pub(crate) const DELETE_OF: &str = concat!(
    "WITH RECURSIVE ",
    append_chain!("SELECT message_pk, last_append FROM obsolete_chunks WHERE message_pk = ?1"),
    " DELETE FROM appends WHERE append_pk IN (SELECT append_pk FROM chain) AND message_pk = ?1"
);

/// Deletes all chunks of these messages, a JSON array, by a scan.
const DELETE_ALL: &str = "DELETE FROM appends WHERE message_pk IN (SELECT value FROM json_each(?1))";

/// Records that the chunks of a message are obsolete.
pub(crate) fn insert(
    db: &Connection,
    message_pk: i64,
    (last_append, appends): (i64, i64),
) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT OR REPLACE INTO obsolete_chunks (message_pk, last_append, appends, entry) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute([message_pk, last_append, appends, fastrand::i64(..)])
    .map(drop)
}

/// Returns whether any message has obsolete chunks.
pub(crate) fn has_any(db: &Connection) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT EXISTS (SELECT 1 FROM obsolete_chunks)")?.query_row([], |row| row.get(0))
}

/// Deletes the obsolete chunks of these messages.
pub(crate) fn delete_of(db: &Connection, messages: impl IntoIterator<Item = i64>) -> rusqlite::Result<()> {
    let mut incomplete = Vec::new();
    for message_pk in messages {
        let appends: Option<i64> = db
            .prepare_cached("SELECT appends FROM obsolete_chunks WHERE message_pk = ?1")?
            .query_row([message_pk], |row| row.get(0))
            .optional()?;
        let Some(appends) = appends else { continue };
        let deleted = db.prepare_cached(DELETE_OF)?.execute([message_pk])?;
        if number(deleted as u64) != appends {
            incomplete.push(message_pk);
        }
        db.prepare_cached("DELETE FROM obsolete_chunks WHERE message_pk = ?1")?.execute([message_pk])?;
    }
    if !incomplete.is_empty() {
        // A step of a pass has deleted some of their chunks, or a chain is broken. The scan reads all chunks, those of open messages
        // too, so there is one for all messages.
        let incomplete = serde_json::Value::from(incomplete).to_string();
        db.prepare_cached(DELETE_ALL)?.execute([incomplete])?;
    }
    Ok(())
}

/// The messages in the table, each with the number of chunks that its row counts; `None` without a row.
pub(crate) fn messages(db: &Connection) -> rusqlite::Result<Vec<(i64, Option<i64>)>> {
    db.prepare_cached(
        "SELECT o.message_pk, m.appends FROM obsolete_chunks o LEFT JOIN messages m ON m.message_pk = o.message_pk",
    )?
    .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
    .collect()
}

/// A number of chunks, and the bytes in them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    pub(crate) chunks: i64,
    pub(crate) bytes: u64,
}

impl Amount {
    pub(crate) const fn add(&mut self, other: Self) {
        self.chunks += other.chunks;
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}
