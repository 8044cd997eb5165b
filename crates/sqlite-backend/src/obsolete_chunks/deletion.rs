//! The deletion of obsolete chunks by the writer: in passes through the chunks, of which each step is a transaction.
//!
//! A pass begins when the chunks are [`MANY`] or [`LONG`] together, when they have waited for [`MAX_WAIT`], and at the end of the store.

use std::time::{Duration, Instant};

use rusqlite::{Connection, params};

use super::Amount;
use crate::step_timer::StepTimer;

/// The number of chunks with which their deletion begins, and the bytes in them.
const MANY: i64 = 8192;
const LONG: u64 = 16 << 20;

/// The longest time for which chunks wait for others.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// How long the writer must be idle before it deletes the next chunks.
const IDLE: Duration = Duration::from_millis(5);

/// The longest time that it waits to be idle between two steps.
const MAX_DELAY: Duration = Duration::from_millis(25);

/// The number of chunks in one step, also of open messages, and the bytes in them. The last chunk may exceed them.
const STEP: usize = 2048;
const STEP_BYTES: i64 = 2 << 20;

/// The chunks of a step, with their lengths, which are in their rows.
const NEXT: &str = "SELECT append_pk, octet_length(delta) FROM appends WHERE append_pk > ?1 AND append_pk <= ?2 ORDER BY append_pk";

/// Deletes the chunks of a step whose messages have ended. A damaged entry for an open message deletes nothing.
const DELETE_STEP: &str = "DELETE FROM appends WHERE append_pk > ?1 AND append_pk <= ?2 AND EXISTS \
    (SELECT 1 FROM obsolete_chunks o JOIN messages m ON m.message_pk = o.message_pk \
     WHERE o.message_pk = appends.message_pk AND o.entry IN (SELECT value FROM json_each(?3)) AND m.appends = 0)";

/// The writer's state of the deletion.
#[derive(Debug)]
pub(crate) struct Deletion {
    /// The chunks of messages that ended after the current pass began.
    waiting: Amount,
    waiting_since: Instant,
    pass: Option<Pass>,
    steps: StepTimer,
    /// A table is damaged.
    is_disabled: bool,
}

/// A pass through the chunks, in the order of their keys.
#[derive(Debug)]
struct Pass {
    /// The last key that it has passed, and the last one that it deletes.
    after: i64,
    until: i64,
    /// The entries whose chunks it deletes, as a JSON array.
    entries: String,
}

impl Deletion {
    /// The first pass deletes what an earlier process has left.
    pub(crate) fn new() -> Self {
        Self {
            waiting: Amount { chunks: MANY, bytes: 0 },
            waiting_since: Instant::now(),
            pass: None,
            steps: StepTimer::new(),
            is_disabled: false,
        }
    }

    /// Records that so many chunks became obsolete.
    pub(crate) fn add(&mut self, amount: Amount) {
        if self.waiting.chunks == 0 && amount.chunks > 0 {
            self.waiting_since = Instant::now();
        }
        self.waiting.add(amount);
    }

    /// Records that a step could not begin: another process writes, for example. The next one waits for a moment.
    pub(crate) fn failed(&mut self) {
        self.steps.failed();
    }

    /// Begins again from the table: a step was not committed.
    pub(crate) fn restart(&mut self) {
        let is_disabled = self.is_disabled;
        *self = Self { is_disabled, ..Self::new() };
        self.failed();
    }

    /// Stops until the store is opened again, because a table is damaged.
    pub(crate) const fn disable(&mut self) {
        self.is_disabled = true;
    }

    /// Returns whether any chunk is left to delete.
    pub(crate) const fn is_left(&self) -> bool {
        !self.is_disabled && (self.waiting.chunks > 0 || self.pass.is_some())
    }

    /// Returns whether the writer deletes some while it is idle.
    pub(crate) fn is_ready(&self) -> bool {
        self.is_left() && self.wait().is_zero()
    }

    /// Returns whether the deletion has waited long enough, although the writer is busy.
    pub(crate) fn is_due(&self) -> bool {
        self.is_ready() && self.steps.is_due(MAX_DELAY)
    }

    /// Returns how long the writer waits for a write before it [continues](Self::run_step).
    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.is_left().then(|| self.wait().max(IDLE))
    }

    fn wait(&self) -> Duration {
        let is_much = self.waiting.chunks >= MANY || self.waiting.bytes >= LONG;
        self.steps.wait(if self.pass.is_some() || is_much {
            Duration::ZERO
        } else {
            MAX_WAIT.saturating_sub(self.waiting_since.elapsed())
        })
    }

    /// Deletes some chunks, in the open transaction. Returns whether it wrote anything.
    pub(crate) fn run_step(&mut self, db: &Connection) -> rusqlite::Result<bool> {
        self.steps.begun();
        let mut pass = match self.pass.take() {
            Some(pass) => pass,
            None => {
                self.waiting = Amount::default();
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
        let mut statement =
            db.prepare_cached("SELECT max(last_append), json_group_array(entry) FROM obsolete_chunks")?;
        let (until, entries): (Option<i64>, String) =
            statement.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(until.map(|until| Self { after: 0, until, entries }))
    }

    /// Returns whether this was the last step.
    fn run_step(&mut self, db: &Connection) -> rusqlite::Result<bool> {
        let Some(end) = self.end_of_step(db)? else {
            // The entries delete nothing more.
            db.prepare_cached(
                "DELETE FROM obsolete_chunks WHERE entry IN (SELECT value FROM json_each(?1))",
            )?
            .execute([&self.entries])?;
            return Ok(true);
        };
        db.prepare_cached(DELETE_STEP)?.execute(params![self.after, end, self.entries])?;
        self.after = end;
        Ok(false)
    }

    /// Returns the last key of the next step; `None` after the last chunk.
    fn end_of_step(&self, db: &Connection) -> rusqlite::Result<Option<i64>> {
        let mut statement = db.prepare_cached(NEXT)?;
        let mut rows = statement.query([self.after, self.until])?;
        let (mut end, mut bytes) = (None, 0);
        for _ in 0..STEP {
            let Some(row) = rows.next()? else { break };
            (end, bytes) = (Some(row.get(0)?), bytes + row.get::<_, Option<i64>>(1)?.unwrap_or_default());
            if bytes >= STEP_BYTES {
                break;
            }
        }
        Ok(end)
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::{
        super::{DELETE_ALL, delete_of, has_any, insert, messages},
        *,
    };
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
            for message_pk in messages {
                db.execute(sql, [*message_pk, n]).unwrap();
            }
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
        insert(&db, 1, (last - 2, 2000)).unwrap();
        insert(&db, 3, (last, 2000)).unwrap();
        let mut deletion = Deletion::new();
        // 6,000 chunks in steps of 2,048, those of the open message included, and the step that deletes the entries.
        assert_eq!(run(&mut deletion, &db), 4);
        assert_eq!([1, 2, 3].map(|message_pk| chunks(&db, message_pk)), [0, 2000, 0]);
        assert!(!has_any(&db).unwrap());
    }

    #[test]
    fn a_message_that_ends_during_a_pass_is_left_to_the_next_one() {
        let db = store(&[(1, 0), (2, 0)]);
        let last = append(&db, &[1, 2], 2000);
        insert(&db, 1, (last - 1, 2000)).unwrap();
        let mut deletion = Deletion::new();
        assert!(deletion.run_step(&db).unwrap());
        insert(&db, 2, (last, 2000)).unwrap();
        deletion.add(Amount { chunks: 2000, bytes: 2000 });
        for _ in 0..2 {
            assert!(deletion.run_step(&db).unwrap());
        }
        assert_eq!(messages(&db).unwrap(), [(2, Some(0))]);
        assert_eq!([1, 2].map(|message_pk| chunks(&db, message_pk)), [0, 2000]);
        run(&mut deletion, &db);
        assert_eq!((chunks(&db, 2), has_any(&db).unwrap()), (0, false));
    }

    #[test]
    fn an_entry_for_an_open_message_deletes_none_of_its_chunks() {
        let db = store(&[(1, 20)]);
        let last = append(&db, &[1], 20);
        insert(&db, 1, (last, 20)).unwrap();
        run(&mut Deletion::new(), &db);
        assert_eq!(chunks(&db, 1), 20);
    }

    #[test]
    fn the_chunks_of_one_message_are_deleted_although_a_pass_has_deleted_the_first_of_them() {
        let db = store(&[(1, 0), (2, 0)]);
        let last = append(&db, &[1, 2], 2000);
        insert(&db, 1, (last - 1, 2000)).unwrap();
        insert(&db, 2, (last, 2000)).unwrap();
        assert!(Deletion::new().run_step(&db).unwrap());
        assert_eq!(chunks(&db, 1), 2000 - STEP as i64 / 2);
        delete_of(&db, [1]).unwrap();
        assert_eq!((chunks(&db, 1), chunks(&db, 2)), (0, 2000 - STEP as i64 / 2));
        assert_eq!(messages(&db).unwrap(), [(2, Some(0))]);
    }

    #[test]
    fn one_scan_deletes_the_chunks_of_all_messages_that_a_pass_has_begun() {
        let db = store(&[(1, 0), (2, 0), (3, 1000), (4, 0)]);
        let last = append(&db, &[1, 2, 3, 4], 1000);
        for message_pk in [1, 2, 4] {
            insert(&db, message_pk, (last - 4 + message_pk, 1000)).unwrap();
        }
        assert!(Deletion::new().run_step(&db).unwrap());
        db.execute("UPDATE appends SET prev = NULL WHERE message_pk IN (1, 2) AND n = 700", []).unwrap();
        delete_of(&db, [1, 2]).unwrap();
        assert_eq!([1, 2, 3, 4].map(|message_pk| chunks(&db, message_pk)), [0, 0, 1000, 488]);
        assert_eq!(messages(&db).unwrap(), [(4, Some(0))]);
        let scans = db.prepare_cached(DELETE_ALL).unwrap().get_status(StatementStatus::Run);
        assert_eq!(scans, 1);
    }

    #[test]
    fn all_chunks_of_a_message_are_deleted_although_their_chain_is_broken() {
        let db = store(&[(1, 0), (2, 20)]);
        let last = append(&db, &[2, 1], 20);
        db.execute("UPDATE appends SET prev = NULL WHERE message_pk = 1 AND n = 10", []).unwrap();
        insert(&db, 1, (last, 20)).unwrap();
        delete_of(&db, [1]).unwrap();
        assert_eq!([1, 2].map(|message_pk| chunks(&db, message_pk)), [0, 20]);
        assert!(!has_any(&db).unwrap());
    }

    #[test]
    fn the_entry_of_a_message_that_streams_and_ends_again_during_a_pass_stays() {
        let db = store(&[(1, 0)]);
        let last = append(&db, &[1], 20);
        insert(&db, 1, (last, 20)).unwrap();
        let mut deletion = Deletion::new();
        assert!(deletion.run_step(&db).unwrap());
        delete_of(&db, [1]).unwrap();
        // The keys of the table begin with 1 again: those of these chunks have been passed.
        assert_eq!(append(&db, &[1], 20), last);
        insert(&db, 1, (last, 20)).unwrap();
        deletion.add(Amount { chunks: 20, bytes: 20 });
        assert!(deletion.run_step(&db).unwrap());
        assert_eq!(messages(&db).unwrap(), [(1, Some(0))]);
        run(&mut deletion, &db);
        assert_eq!((chunks(&db, 1), has_any(&db).unwrap()), (0, false));
    }

    #[test]
    fn a_step_ends_after_a_number_of_bytes() {
        let db = store(&[(1, 0)]);
        let last = append(&db, &[1], 10);
        db.execute("UPDATE appends SET delta = printf('%.*c', ?1, 'x')", [STEP_BYTES / 2]).unwrap();
        insert(&db, 1, (last, 10)).unwrap();
        assert_eq!(run(&mut Deletion::new(), &db), 6);
        assert_eq!(chunks(&db, 1), 0);
    }

    #[test]
    fn the_writer_waits_for_many_chunks_or_for_a_time() {
        let mut deletion = Deletion::new();
        run(&mut deletion, &store(&[]));
        assert_eq!((deletion.is_left(), deletion.is_ready(), deletion.timeout()), (false, false, None));
        deletion.add(Amount { chunks: MANY - 1, bytes: 0 });
        assert_eq!((deletion.is_left(), deletion.is_ready()), (true, false));
        assert!(deletion.timeout().unwrap() > MAX_WAIT / 2);
        for amount in [Amount { chunks: 1, bytes: 0 }, Amount { chunks: 0, bytes: LONG }] {
            let mut much = Deletion { waiting: deletion.waiting, ..Deletion::new() };
            much.add(amount);
            assert_eq!((much.is_ready(), much.timeout()), (true, Some(IDLE)));
        }
    }

    #[test]
    fn the_writer_waits_after_a_step_that_could_not_run_and_stops_at_damage() {
        let mut deletion = Deletion::new();
        assert_eq!(deletion.timeout(), Some(IDLE));
        for fail in [Deletion::failed, Deletion::restart] {
            fail(&mut deletion);
            assert!(!deletion.is_ready() && deletion.timeout().unwrap() > IDLE);
        }
        assert!(run(&mut deletion, &store(&[])) == 0 && !deletion.is_left());
        deletion.disable();
        deletion.add(Amount { chunks: MANY, bytes: 0 });
        deletion.restart();
        assert_eq!((deletion.is_left(), deletion.is_ready(), deletion.timeout()), (false, false, None));
    }
}
