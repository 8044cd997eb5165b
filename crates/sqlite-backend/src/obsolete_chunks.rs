//! The chunks of ended messages, which the writer deletes together.
//!
//! The chunks of messages that were streamed at the same time lie between each other: the deletion of those of one message writes
//! nearly a page for each of them. So the end of a message with more than [`FEW`] chunks adds the message to the table
//! `obsolete_chunks`, and the writer deletes the chunks of all such messages in the order of their keys, which writes each page
//! once. It begins when there are [`MANY`] of them, when they have waited for [`MAX_WAIT`], and at the end of the store.
//!
//! Until then the file has the content of these messages twice. A deletion or an edit of such a message deletes its chunks in the
//! same transaction, so that nothing of the earlier content stays.

use std::time::{Duration, Instant};

use rusqlite::{Connection, params};

use crate::record::append_chain;

/// The end of a message deletes so many chunks by itself: they cost no more pages than the entry of the message and the later work.
pub(crate) const FEW: i64 = 8;

/// The number of chunks with which their deletion begins.
const MANY: i64 = 8192;

/// The longest time for which chunks wait for others.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// How long the writer must be idle before it deletes the next chunks.
const IDLE: Duration = Duration::from_millis(5);

/// The longest time that it waits to be idle between two steps.
const MAX_DELAY: Duration = Duration::from_millis(25);

/// The number of chunks, also of open messages, in one step.
const STEP: i64 = 2048;

/// The last chunk of a step.
const END_OF_STEP: &str = "SELECT max(append_pk) FROM (SELECT append_pk FROM appends WHERE append_pk > ?1 AND append_pk <= ?2 \
    ORDER BY append_pk LIMIT ?3)";

/// Deletes the chunks of a step whose messages have ended. A damaged entry for an open message deletes nothing.
const DELETE_STEP: &str = "DELETE FROM appends WHERE append_pk > ?1 AND append_pk <= ?2 AND EXISTS \
    (SELECT 1 FROM obsolete_chunks o JOIN messages m ON m.message_pk = o.message_pk \
     WHERE o.message_pk = appends.message_pk AND m.appends = 0)";

pub(crate) const DELETE_OF: &str = concat!(
    "WITH RECURSIVE ",
    append_chain!("SELECT message_pk, last_append FROM obsolete_chunks WHERE message_pk = ?1"),
    " DELETE FROM appends WHERE append_pk IN (SELECT append_pk FROM chain) AND message_pk = ?1"
);

/// Records that the chunks of a message are obsolete, from its last one on.
pub(crate) fn insert(db: &Connection, message_pk: i64, last_append: i64) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR REPLACE INTO obsolete_chunks (message_pk, last_append) VALUES (?1, ?2)")?
        .execute([message_pk, last_append])
        .map(drop)
}

/// Returns whether any message has obsolete chunks.
pub(crate) fn has_any(db: &Connection) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT EXISTS (SELECT 1 FROM obsolete_chunks)")?.query_row([], |row| row.get(0))
}

/// Deletes the obsolete chunks of a message. A step may have deleted the first of them.
pub(crate) fn delete_of(db: &Connection, message_pk: i64) -> rusqlite::Result<()> {
    db.prepare_cached(DELETE_OF)?.execute([message_pk])?;
    db.prepare_cached("DELETE FROM obsolete_chunks WHERE message_pk = ?1")?.execute([message_pk]).map(drop)
}

/// The messages in the table, each with the number of chunks that its row counts; `None` without a row.
pub(crate) fn messages(db: &Connection) -> rusqlite::Result<Vec<(i64, Option<i64>)>> {
    db.prepare_cached(
        "SELECT o.message_pk, m.appends FROM obsolete_chunks o LEFT JOIN messages m ON m.message_pk = o.message_pk",
    )?
    .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
    .collect()
}

/// The writer's state of the deletion.
#[derive(Debug)]
pub(crate) struct Deletion {
    /// The chunks of messages that ended after the current pass began.
    waiting: i64,
    waiting_since: Instant,
    pass: Option<Pass>,
    stepped: Instant,
}

/// A pass through the chunks, in the order of their keys.
#[derive(Debug)]
struct Pass {
    /// The last key that it has passed, and the last one that it deletes.
    after: i64,
    until: i64,
    /// The messages whose chunks it deletes all.
    messages: Vec<i64>,
}

impl Deletion {
    /// The first pass deletes what an earlier process has left.
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self { waiting: MANY, waiting_since: now, pass: None, stepped: now }
    }

    /// Records that so many chunks became obsolete.
    pub(crate) fn add(&mut self, chunks: i64) {
        if self.waiting == 0 && chunks > 0 {
            self.waiting_since = Instant::now();
        }
        self.waiting += chunks;
    }

    /// Begins again from the table: a step was not committed.
    pub(crate) fn restart(&mut self) {
        *self = Self::new();
    }

    /// Stops until the store is opened again, because a table is damaged.
    pub(crate) fn disable(&mut self) {
        (self.waiting, self.pass) = (0, None);
    }

    /// Returns whether any chunk is left to delete.
    pub(crate) const fn is_left(&self) -> bool {
        self.waiting > 0 || self.pass.is_some()
    }

    /// Returns whether the writer deletes some while it is idle.
    pub(crate) fn is_ready(&self) -> bool {
        self.pass.is_some()
            || self.waiting >= MANY
            || (self.waiting > 0 && self.waiting_since.elapsed() >= MAX_WAIT)
    }

    /// Returns whether the deletion has waited long enough, although the writer is busy.
    pub(crate) fn is_due(&self) -> bool {
        self.is_ready() && self.stepped.elapsed() >= MAX_DELAY
    }

    /// Returns how long the writer waits for a write before it [continues](Self::run_step).
    pub(crate) fn timeout(&self) -> Option<Duration> {
        if self.is_ready() {
            return Some(IDLE);
        }
        self.is_left().then(|| MAX_WAIT.saturating_sub(self.waiting_since.elapsed()).max(IDLE))
    }

    /// Deletes some chunks, in the open transaction. Returns whether it wrote anything.
    pub(crate) fn run_step(&mut self, db: &Connection) -> rusqlite::Result<bool> {
        self.stepped = Instant::now();
        let mut pass = match self.pass.take() {
            Some(pass) => pass,
            None => {
                self.waiting = 0;
                match Pass::begin(db)? {
                    Some(pass) => pass,
                    None => return Ok(false),
                }
            }
        };
        if !pass.run_step(db)? {
            self.pass = Some(pass);
        }
        Ok(true)
    }
}

impl Pass {
    /// `None` without an obsolete chunk.
    fn begin(db: &Connection) -> rusqlite::Result<Option<Self>> {
        let mut statement = db.prepare_cached("SELECT max(last_append) FROM obsolete_chunks")?;
        let Some(until) = statement.query_row([], |row| row.get(0))? else { return Ok(None) };
        let messages = messages(db)?.into_iter().map(|(message_pk, _)| message_pk).collect();
        Ok(Some(Self { after: 0, until, messages }))
    }

    /// Returns whether this was the last step.
    fn run_step(&mut self, db: &Connection) -> rusqlite::Result<bool> {
        let end: Option<i64> = db
            .prepare_cached(END_OF_STEP)?
            .query_row(params![self.after, self.until, STEP], |row| row.get(0))?;
        if let Some(end) = end {
            db.prepare_cached(DELETE_STEP)?.execute([self.after, end])?;
            self.after = end;
            if end < self.until {
                return Ok(false);
            }
        }
        // A message of a reused id may have ended again meanwhile: the next pass deletes its chunks.
        let mut delete =
            db.prepare_cached("DELETE FROM obsolete_chunks WHERE message_pk = ?1 AND last_append <= ?2")?;
        for message_pk in &self.messages {
            delete.execute([*message_pk, self.until])?;
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::open::create_tables;

    /// Returns a store with these messages, each with the chunks that its row counts, and no other column of use.
    fn store(messages: &[(i64, i64)]) -> Connection {
        let db = Connection::open_in_memory().unwrap();
        create_tables(&db).unwrap();
        db.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
        for (message_pk, appends) in messages {
            db.execute(
                "INSERT INTO messages (message_pk, thread_pk, message_id, seq, segment, role, state, revision, appends, \
                 content_bytes, tail, created_at, updated_at, position, checksum, metadata, content) \
                 VALUES (?1, 1, ?1, ?1, 0, 'user', 'final', 1, ?2, 0, 0, 0, 0, 0, 0, '{}', '[]')",
                [message_pk, appends],
            )
            .unwrap();
        }
        db
    }

    /// Appends chunks to the messages in turn, and returns the key of the last one.
    fn append(db: &Connection, messages: &[i64], rounds: i64) -> i64 {
        let sql = "INSERT INTO appends (message_pk, n, prev, kind, checksum, delta) VALUES \
                   (?1, ?2, (SELECT max(append_pk) FROM appends WHERE message_pk = ?1), 0, 0, 'x')";
        for n in 1..=rounds {
            messages.iter().for_each(|message_pk| drop(db.execute(sql, [*message_pk, n]).unwrap()));
        }
        db.last_insert_rowid()
    }

    fn chunks(db: &Connection, message_pk: i64) -> i64 {
        db.query_row("SELECT count(*) FROM appends WHERE message_pk = ?1", [message_pk], |row| row.get(0))
            .unwrap()
    }

    fn run(deletion: &mut Deletion, db: &Connection) -> usize {
        (0..).take_while(|_| deletion.is_left() && deletion.run_step(db).unwrap()).count()
    }

    #[test]
    fn a_pass_deletes_the_chunks_of_ended_messages_in_steps_and_no_others() {
        let db = store(&[(1, 0), (2, 2000), (3, 0)]);
        let last = append(&db, &[1, 2, 3], 2000);
        insert(&db, 1, last - 2).unwrap();
        insert(&db, 3, last).unwrap();
        let mut deletion = Deletion::new();
        // 6,000 chunks in steps of 2,048, those of the open message included.
        assert_eq!(run(&mut deletion, &db), 3);
        assert_eq!([1, 2, 3].map(|message_pk| chunks(&db, message_pk)), [0, 2000, 0]);
        assert!(!has_any(&db).unwrap());
    }

    #[test]
    fn a_message_that_ends_during_a_pass_is_left_to_the_next_one() {
        let db = store(&[(1, 0), (2, 0)]);
        let last = append(&db, &[1, 2], 2000);
        insert(&db, 1, last - 1).unwrap();
        let mut deletion = Deletion::new();
        assert!(deletion.run_step(&db).unwrap());
        insert(&db, 2, last).unwrap();
        deletion.add(2000);
        assert!(deletion.run_step(&db).unwrap());
        assert_eq!(messages(&db).unwrap(), [(2, Some(0))]);
        assert_eq!(chunks(&db, 1), 0);
        assert!(chunks(&db, 2) > 0, "the first step had passed its first chunks");
        run(&mut deletion, &db);
        assert_eq!((chunks(&db, 2), has_any(&db).unwrap()), (0, false));
    }

    #[test]
    fn an_entry_for_an_open_message_deletes_none_of_its_chunks() {
        let db = store(&[(1, 20)]);
        let last = append(&db, &[1], 20);
        insert(&db, 1, last).unwrap();
        run(&mut Deletion::new(), &db);
        assert_eq!(chunks(&db, 1), 20);
    }

    #[test]
    fn the_chunks_of_one_message_are_deleted_although_a_pass_has_deleted_the_first_of_them() {
        let db = store(&[(1, 0), (2, 0)]);
        let last = append(&db, &[1, 2], 2000);
        insert(&db, 1, last - 1).unwrap();
        insert(&db, 2, last).unwrap();
        assert!(Deletion::new().run_step(&db).unwrap());
        assert_eq!(chunks(&db, 1), 2000 - STEP / 2);
        delete_of(&db, 1).unwrap();
        assert_eq!((chunks(&db, 1), chunks(&db, 2)), (0, 2000 - STEP / 2));
        assert_eq!(messages(&db).unwrap(), [(2, Some(0))]);
    }

    #[test]
    fn the_writer_waits_for_many_chunks_or_for_a_time() {
        let mut deletion = Deletion::new();
        run(&mut deletion, &store(&[]));
        assert_eq!((deletion.is_left(), deletion.is_ready(), deletion.timeout()), (false, false, None));
        deletion.add(MANY - 1);
        assert_eq!((deletion.is_left(), deletion.is_ready()), (true, false));
        assert!(deletion.timeout().unwrap() > MAX_WAIT / 2);
        deletion.add(1);
        assert_eq!((deletion.is_ready(), deletion.timeout()), (true, Some(IDLE)));
        let mut waited = Deletion { waiting: 1, waiting_since: Instant::now() - MAX_WAIT, ..deletion };
        assert!(waited.is_ready());
        waited.disable();
        assert!(!waited.is_left());
        waited.restart();
        assert!(waited.is_ready(), "the table is read again");
    }
}
