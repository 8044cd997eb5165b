//! The segments of the order index, which hold the messages of a thread in their order.
//!
//! If the thread were the first column of that index, a commit would write a page for each of its threads. The first
//! column is the segment: messages of about the same time share a segment, regardless of their threads. A separate
//! table maps a thread to the segments with its messages. See decision 0048.

use rusqlite::{Connection, OptionalExtension, Row, ffi, params};

use super::checksum_of;
use crate::error::is_taken;

/// The segment for the sequence numbers of a thread from `first_seq` on: a row of `thread_segments`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ThreadSegment {
    pub(crate) first_seq: i64,
    pub(crate) segment: i64,
    /// The first sequence number of the previous segment, or 0. It reveals that the previous one is missing.
    pub(crate) previous: i64,
}

/// The messages of a thread after a sequence number, and up to another one if `$until` says so (`< ?3`, `<= ?3`). This
/// is the text after `FROM`, with `s` for the segment and `m` for the message. [`by_seq!`] sorts them.
///
/// `CROSS JOIN` makes SQLite walk the segments in their order, and not begin with the messages.
macro_rules! messages_behind {
    ($thread:literal, $after:literal) => {
        concat!(
            "thread_segments s CROSS JOIN messages m ON m.segment = s.segment AND m.thread_pk = s.thread_pk \
             WHERE s.thread_pk = ",
            $thread,
            " AND s.first_seq >= coalesce((SELECT b.first_seq FROM thread_segments b WHERE b.thread_pk = ",
            $thread,
            " AND b.first_seq <= ",
            $after,
            " ORDER BY b.first_seq DESC LIMIT 1), 0) AND m.seq > ",
            $after
        )
    };
    ($thread:literal, $after:literal, $until:literal) => {
        concat!(
            $crate::record::messages_behind!($thread, $after),
            " AND s.first_seq ",
            $until,
            " AND m.seq ",
            $until
        )
    };
}
pub(crate) use messages_behind;

/// The order of [`messages_behind!`], ascending (`ASC`) or descending (`DESC`).
macro_rules! by_seq {
    ($direction:literal) => {
        concat!(" ORDER BY s.first_seq ", $direction, ", m.seq ", $direction)
    };
}
pub(crate) use by_seq;

/// The segment that holds a sequence number of a thread.
const AT: &str = "SELECT first_seq, segment, previous, checksum FROM thread_segments WHERE thread_pk = ?1 AND first_seq <= ?2 \
                  ORDER BY first_seq DESC LIMIT 1";
/// The next segment.
const BEHIND: &str = "SELECT first_seq, segment, previous, checksum FROM thread_segments WHERE thread_pk = ?1 AND first_seq > ?2 \
                      ORDER BY first_seq LIMIT 1";

fn damaged() -> rusqlite::Error {
    let message = "a segment of a thread is damaged".to_owned();
    rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CORRUPT), Some(message))
}

impl ThreadSegment {
    pub(crate) fn insert(self, db: &Connection, thread_pk: i64) -> rusqlite::Result<()> {
        let Self { first_seq, segment, previous } = self;
        db.prepare_cached(
            "INSERT INTO thread_segments (thread_pk, first_seq, segment, previous, checksum) \
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![thread_pk, first_seq, segment, previous, self.checksum(thread_pk)])?;
        Ok(())
    }

    /// Reads the columns of [`AT`] from `at` on. `None` if the checksum does not match.
    pub(crate) fn read(row: &Row<'_>, at: usize, thread_pk: i64) -> rusqlite::Result<Option<Self>> {
        let found = Self { first_seq: row.get(at)?, segment: row.get(at + 1)?, previous: row.get(at + 2)? };
        Ok((row.get::<_, i64>(at + 3)? == found.checksum(thread_pk)).then_some(found))
    }

    /// Returns the segment for any sequence number of a thread. It is `current` if no message follows. A message
    /// between others goes to the segment of those before it, and one before all others goes to the first segment. Also
    /// returns the beginning of the last segment of the thread, if that changes.
    ///
    /// # Errors
    /// SQLite's error for corruption if a row that this depends on is damaged or missing.
    pub(crate) fn of(
        db: &Connection,
        thread_pk: i64,
        seq: i64,
        current: i64,
    ) -> rusqlite::Result<(i64, Option<i64>)> {
        let before = Self::find(db, AT, (thread_pk, seq))?;
        let behind = Self::find(db, BEHIND, (thread_pk, seq))?;
        match (before, behind) {
            (before, Some(behind)) if behind.previous != before.map_or(0, |before| before.first_seq) => {
                Err(damaged())
            }
            (Some(Self { segment, .. }), Some(_)) => Ok((segment, None)),
            (None, Some(first)) => {
                first.remove(db, thread_pk)?;
                let moved = Self { first_seq: seq, ..first };
                moved.insert(db, thread_pk)?;
                let is_last = !first.follow(db, thread_pk, seq)?;
                Ok((first.segment, is_last.then_some(seq)))
            }
            (Some(last), None)
                if last.segment >= current
                    || last.first_seq == seq
                    || last.holds_behind(db, thread_pk, seq)? =>
            {
                Ok((last.segment, None))
            }
            (last, None) => {
                let previous = last.map_or(0, |last| last.first_seq);
                Self { first_seq: seq, segment: current, previous }.insert(db, thread_pk)?;
                Ok((current, Some(seq)))
            }
        }
    }

    fn find(
        db: &Connection,
        sql: &'static str,
        (thread_pk, seq): (i64, i64),
    ) -> rusqlite::Result<Option<Self>> {
        let found = db
            .prepare_cached(sql)?
            .query_row(params![thread_pk, seq], |row| Self::read(row, 0, thread_pk))
            .optional()?;
        found.map(|found| found.ok_or_else(damaged)).transpose()
    }

    /// Returns whether the next segment is undamaged and refers to this one.
    fn is_followed(self, db: &Connection, thread_pk: i64) -> rusqlite::Result<bool> {
        let next = db
            .prepare_cached(BEHIND)?
            .query_row(params![thread_pk, self.first_seq], |row| Self::read(row, 0, thread_pk))
            .optional()?;
        Ok(next.flatten().is_some_and(|next| next.previous == self.first_seq))
    }

    /// Makes the next segment refer to the one that begins at `previous`. Returns whether there is a next one.
    fn follow(self, db: &Connection, thread_pk: i64, previous: i64) -> rusqlite::Result<bool> {
        let Some(next) = Self::find(db, BEHIND, (thread_pk, self.first_seq))? else { return Ok(false) };
        let next = Self { previous, ..next };
        db.prepare_cached(
            "UPDATE thread_segments SET previous = ?3, checksum = ?4 WHERE thread_pk = ?1 AND first_seq = ?2",
        )?
        .execute(params![thread_pk, next.first_seq, previous, next.checksum(thread_pk)])?;
        Ok(true)
    }

    /// Returns whether this segment holds a message of the thread from this sequence number on.
    fn holds_behind(self, db: &Connection, thread_pk: i64, seq: i64) -> rusqlite::Result<bool> {
        db.prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM messages WHERE segment = ?1 AND thread_pk = ?2 AND seq >= ?3)",
        )?
        .query_row(params![self.segment, thread_pk, seq], |row| row.get(0))
    }

    /// Deletes the empty segments of a thread between these sequence numbers. The last segment of the thread stays,
    /// because new messages go there.
    pub(crate) fn forget_empty(
        db: &Connection,
        thread_pk: i64,
        (first, last): (i64, i64),
    ) -> rusqlite::Result<()> {
        let mut statement = db.prepare_cached(
            "SELECT s.first_seq, s.segment, s.previous, s.checksum FROM thread_segments s WHERE s.thread_pk = ?1 \
             AND s.first_seq <= ?3 AND s.first_seq >= coalesce((SELECT b.first_seq FROM thread_segments b \
             WHERE b.thread_pk = ?1 AND b.first_seq <= ?2 ORDER BY b.first_seq DESC LIMIT 1), 0) \
             AND s.first_seq < (SELECT max(l.first_seq) FROM thread_segments l WHERE l.thread_pk = ?1) \
             AND NOT EXISTS (SELECT 1 FROM messages m WHERE m.segment = s.segment AND m.thread_pk = s.thread_pk \
             AND m.seq IS NOT NULL) ORDER BY s.first_seq DESC",
        )?;
        let empty = statement
            .query_map(params![thread_pk, first, last], |row| Self::read(row, 0, thread_pk))?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        // A damaged segment may seem empty because of the damage. In reverse order: the next segment of each one stays.
        for found in empty.into_iter().flatten() {
            // This does not repair damage that exists already.
            if found.is_followed(db, thread_pk)? {
                found.follow(db, thread_pk, found.previous)?;
                found.remove(db, thread_pk)?;
            }
        }
        Ok(())
    }

    fn remove(self, db: &Connection, thread_pk: i64) -> rusqlite::Result<()> {
        db.prepare_cached("DELETE FROM thread_segments WHERE thread_pk = ?1 AND first_seq = ?2")?
            .execute(params![thread_pk, self.first_seq])?;
        Ok(())
    }

    /// Returns whether the segments of a thread after `after` and up to `until` exist and are undamaged. The last
    /// segment of the thread begins at `last`. A damaged one would lead to no messages, or to those of another thread.
    pub(crate) fn are_whole(
        db: &Connection,
        thread_pk: i64,
        (after, until): (i64, i64),
        last: i64,
    ) -> rusqlite::Result<bool> {
        // From the segment of the first number to the one after the last number, which proves that none before it is
        // missing.
        let mut statement = db.prepare_cached(
            "SELECT s.first_seq, s.segment, s.previous, s.checksum FROM thread_segments s WHERE s.thread_pk = ?1 \
             AND s.first_seq >= coalesce((SELECT b.first_seq FROM thread_segments b \
             WHERE b.thread_pk = ?1 AND b.first_seq <= ?2 ORDER BY b.first_seq DESC LIMIT 1), 0) ORDER BY s.first_seq",
        )?;
        let from = after.saturating_add(1);
        let mut rows = statement.query(params![thread_pk, from])?;
        let mut before: Option<Self> = None;
        while let Some(row) = rows.next()? {
            let Some(found) = Self::read(row, 0, thread_pk)? else { return Ok(false) };
            let is_next = match before.replace(found) {
                Some(before) => found.previous == before.first_seq && before.segment < found.segment,
                None => found.first_seq <= from || found.previous == 0,
            };
            if !is_next {
                return Ok(false);
            }
            if found.first_seq > until {
                return Ok(true);
            }
        }
        Ok(before.map_or(0, |before| before.first_seq) == last)
    }

    /// Rebuilds the segments of a thread from all messages of the store, and returns the beginning of the last one. If
    /// the rows of messages contradict each other, the result is one segment for the whole thread.
    pub(crate) fn repair(db: &Connection, thread_pk: i64) -> rusqlite::Result<i64> {
        let mut statement = db.prepare_cached(
            "SELECT min(seq), max(seq), segment FROM messages NOT INDEXED \
             WHERE thread_pk = ?1 AND seq IS NOT NULL GROUP BY segment ORDER BY segment",
        )?;
        let mut found = statement
            .query_map([thread_pk], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<rusqlite::Result<Vec<(i64, i64, i64)>>>()?;
        if let (Some(&(_, _, segment)), false) =
            (found.last(), found.is_sorted_by(|(first, last, _), (next, _, _)| first < next && last <= next))
        {
            let merged = db.execute(
                "UPDATE messages SET segment = ?2 WHERE thread_pk = ?1 AND seq IS NOT NULL",
                params![thread_pk, segment],
            );
            // Two of them have the same sequence number.
            merged.map_err(|error| if is_taken(&error) { damaged() } else { error })?;
            let first_seq = found.iter().map(|(first_seq, _, _)| *first_seq).min().unwrap_or_default();
            found = vec![(first_seq, i64::MAX, segment)];
        }
        db.prepare_cached("DELETE FROM thread_segments WHERE thread_pk = ?1")?.execute([thread_pk])?;
        let mut previous = 0;
        for (first_seq, _, segment) in found {
            Self { first_seq, segment, previous }.insert(db, thread_pk)?;
            previous = first_seq;
        }
        Ok(previous)
    }

    /// Returns the checksum of the row.
    pub(crate) fn checksum(self, thread_pk: i64) -> i64 {
        checksum_of!(thread_pk; Self { first_seq, segment, previous } = self)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, btree_map::Entry};

    use super::*;

    const BEHIND: &str = concat!("SELECT m.seq FROM ", messages_behind!("1", "?1"), by_seq!("ASC"));
    const BEFORE: &str = concat!("SELECT m.seq FROM ", messages_behind!("1", "0", "< ?1"), by_seq!("DESC"));

    fn store() -> Connection {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(include_str!("../../migrations/0001_initial.sql")).unwrap();
        db.execute(
            "INSERT INTO threads (thread_pk, tenant, thread, deleted_seq, floor, generation, gone_at, gone_question, \
             deleted, purgeable, last_segment, checksum) VALUES (1, 'a', 't', 0, 0, 1, 0, 0, 0, 0, 0, 0)",
            [],
        )
        .unwrap();
        db
    }

    /// Inserts the message of this name with a sequence number, as a copy does, in any order of messages.
    fn put(db: &Connection, name: i64, seq: i64, current: i64) {
        let (segment, last) = ThreadSegment::of(db, 1, seq, current).unwrap();
        if let Some(last) = last {
            db.execute("UPDATE threads SET last_segment = ?1", [last]).unwrap();
        }
        db.execute(
            "INSERT INTO messages (thread_pk, message_id, seq, segment, role, state, revision, appends, content_bytes, \
             tail, created_at, updated_at, position, checksum, metadata, content) \
             VALUES (1, ?1, ?2, ?3, 'user', 'final', 1, 0, 0, 0, 0, 0, 0, 0, '{}', '[]') \
             ON CONFLICT (message_id, thread_pk) DO UPDATE SET seq = ?2, segment = ?3",
            params![name.to_string(), seq, segment],
        )
        .unwrap();
    }

    fn seqs(db: &Connection, sql: &str, bound: i64) -> Vec<i64> {
        let mut statement = db.prepare_cached(sql).unwrap();
        statement.query_map([bound], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    fn segments(db: &Connection) -> Vec<(i64, i64)> {
        let sql = "SELECT first_seq, segment FROM thread_segments WHERE thread_pk = 1 ORDER BY first_seq";
        let mut statement = db.prepare_cached(sql).unwrap();
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        statement.query_map([], read).unwrap().map(Result::unwrap).collect()
    }

    fn are_whole(db: &Connection, after: i64, until: i64) -> bool {
        let last = db.query_row("SELECT last_segment FROM threads", [], |row| row.get(0)).unwrap();
        ThreadSegment::are_whole(db, 1, (after, until), last).unwrap()
    }

    #[test]
    fn messages_are_found_in_order_after_inserts_in_any_order() {
        let seed = fastrand::u64(..);
        eprintln!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..20 {
            let db = store();
            // The used sequence numbers, each with the name of its message.
            let mut taken = BTreeMap::<i64, i64>::new();
            let mut current = 1;
            for name in 0..60 {
                current += i64::from(random.u8(..4) == 0);
                match random.u8(..8) {
                    // Removes the latest one, or any other, which may return with the same number.
                    0 if !taken.is_empty() => {
                        let at = random.usize(..taken.len() + 3).min(taken.len() - 1);
                        let (&seq, &gone) = taken.iter().nth(at).unwrap();
                        db.execute(
                            "UPDATE messages SET seq = NULL WHERE message_id = ?1",
                            [gone.to_string()],
                        )
                        .unwrap();
                        if random.bool() {
                            taken.remove(&seq);
                        } else {
                            put(&db, gone, seq, current);
                        }
                    }
                    1 if !taken.is_empty() => {
                        let (&seq, &again) = taken.iter().nth(random.usize(..taken.len())).unwrap();
                        put(&db, again, seq, current);
                    }
                    _ => {
                        let last = taken.last_key_value().map_or(0, |(&seq, _)| seq);
                        let seq = if random.bool() { last + 1 } else { random.i64(1..100) };
                        if let Entry::Vacant(slot) = taken.entry(seq) {
                            slot.insert(name);
                            put(&db, name, seq, current);
                        }
                    }
                }
                let bound = random.i64(0..100);
                let behind: Vec<i64> = taken.range(bound + 1..).map(|(&seq, _)| seq).collect();
                let before: Vec<i64> = taken.range(..bound).rev().map(|(&seq, _)| seq).collect();
                assert_eq!((seqs(&db, BEHIND, bound), seqs(&db, BEFORE, bound)), (behind, before));
                assert!(are_whole(&db, 0, i64::MAX));
            }
        }
    }

    #[test]
    fn only_a_message_after_all_others_begins_a_segment() {
        let db = store();
        for (name, seq, current) in [(1, 50, 3), (2, 40, 4), (3, 60, 5), (4, 45, 6), (5, 61, 5), (6, 70, 9)] {
            put(&db, name, seq, current);
        }
        assert_eq!(segments(&db), [(40, 3), (60, 5), (70, 9)]);
    }

    #[test]
    fn segments_without_messages_are_deleted() {
        let db = store();
        for (name, seq) in [(1, 10), (2, 12), (3, 20), (4, 30), (5, 40)] {
            put(&db, name, seq, seq / 10);
        }
        let left = |gone: &str, seqs| {
            db.execute("UPDATE messages SET seq = NULL WHERE message_id = ?1", [gone]).unwrap();
            ThreadSegment::forget_empty(&db, 1, seqs).unwrap();
            segments(&db).iter().map(|(first_seq, _)| *first_seq).collect::<Vec<_>>()
        };
        assert_eq!(left("1", (10, 10)), [10, 20, 30, 40], "another message is in it");
        assert_eq!(left("3", (5, 19)), [10, 20, 30, 40], "not requested");
        assert_eq!(left("3", (20, 20)), [10, 30, 40]);
        assert_eq!(left("4", (10, 10)), [10, 30, 40]);
        let damage = |by: i64| {
            db.execute("UPDATE thread_segments SET checksum = checksum + ?1 WHERE first_seq = 30", [by])
                .unwrap();
        };
        damage(1);
        assert_eq!(left("4", (30, 30)), [10, 30, 40], "its segment number may be damaged");
        damage(-1);
        assert_eq!(left("2", (5, 35)), [40]);
        assert_eq!(left("5", (0, i64::MAX)), [40], "new messages go to the last one");
    }

    #[test]
    fn a_damaged_or_missing_segment_is_detected_for_its_sequence_numbers_and_repaired() {
        let db = store();
        for (name, seq) in [(1, 10), (2, 20), (3, 22), (4, 30), (5, 40)] {
            put(&db, name, seq, seq / 10);
        }
        let whole = [(10, 1), (20, 2), (30, 3), (40, 4)];
        assert_eq!(segments(&db), whole);
        for change in [
            "UPDATE thread_segments SET first_seq = 21 WHERE first_seq = 20",
            "UPDATE thread_segments SET first_seq = 19 WHERE first_seq = 20",
            "UPDATE thread_segments SET first_seq = 79 WHERE first_seq = 20",
            "UPDATE thread_segments SET segment = 4 WHERE first_seq = 20",
            "UPDATE thread_segments SET previous = 9 WHERE first_seq = 20",
            "UPDATE thread_segments SET checksum = checksum + 1 WHERE first_seq = 20",
            "DELETE FROM thread_segments WHERE first_seq = 20",
        ] {
            db.execute(change, []).unwrap();
            assert!(
                !are_whole(&db, 0, i64::MAX) && !are_whole(&db, 20, 22) && !are_whole(&db, 15, 25),
                "{change}"
            );
            assert!(!are_whole(&db, 21, 22) && are_whole(&db, 0, 9) && are_whole(&db, 29, 35), "{change}");
            let last = ThreadSegment::repair(&db, 1).unwrap();
            assert_eq!((segments(&db).as_slice(), last), (whole.as_slice(), 40), "{change}");
            assert!(are_whole(&db, 0, i64::MAX));
        }
        for change in [
            "UPDATE thread_segments SET first_seq = 34 WHERE first_seq = 40",
            "UPDATE thread_segments SET first_seq = 41 WHERE first_seq = 40",
            "DELETE FROM thread_segments WHERE first_seq = 40",
            "DELETE FROM thread_segments",
        ] {
            db.execute(change, []).unwrap();
            assert!(!are_whole(&db, 35, i64::MAX) && !are_whole(&db, 39, 40), "{change}");
            ThreadSegment::repair(&db, 1).unwrap();
            assert_eq!(segments(&db), whole, "{change}");
        }
        ThreadSegment { first_seq: 50, segment: 2, previous: 40 }.insert(&db, 1).unwrap();
        assert!(!are_whole(&db, 0, i64::MAX), "segments grow with the sequence numbers");
        assert_eq!(ThreadSegment::of(&db, 1, 25, 9).unwrap(), (2, None));
        let is_refused = |seq| {
            let damage = ThreadSegment::of(&db, 1, seq, 9).unwrap_err();
            assert_eq!(damage.sqlite_error_code(), Some(rusqlite::ErrorCode::DatabaseCorrupt), "{seq}");
        };
        db.execute("UPDATE thread_segments SET checksum = 0 WHERE first_seq = 50", []).unwrap();
        [45, 55].into_iter().for_each(is_refused);
        db.execute("DELETE FROM thread_segments WHERE first_seq = 20", []).unwrap();
        [15, 25].into_iter().for_each(is_refused);
        // A message of the first segment among those of the second.
        db.execute("UPDATE messages SET segment = 1 WHERE seq = 22", []).unwrap();
        assert_eq!(ThreadSegment::repair(&db, 1).unwrap(), 10);
        assert_eq!(segments(&db), [(10, 4)]);
        assert_eq!(seqs(&db, BEHIND, 0), [10, 20, 22, 30, 40]);
    }

    #[test]
    fn deleting_empty_segments_does_not_hide_damage() {
        let db = store();
        for (name, seq) in [(1, 10), (2, 20), (3, 30), (4, 40)] {
            put(&db, name, seq, seq / 10);
        }
        db.execute("UPDATE messages SET seq = NULL WHERE message_id IN ('1', '2')", []).unwrap();
        db.execute("DELETE FROM thread_segments WHERE first_seq = 30", []).unwrap();
        ThreadSegment::forget_empty(&db, 1, (0, 25)).unwrap();
        assert_eq!(segments(&db), [(20, 2), (40, 4)]);
        assert!(!are_whole(&db, 0, i64::MAX));
    }

    #[test]
    fn a_sequence_number_that_was_assigned_twice_is_found_twice_or_reported() {
        let db = store();
        for (name, seq, current) in [(1, 10, 1), (2, 20, 2), (3, 25, 2), (4, 40, 4)] {
            put(&db, name, seq, current);
        }
        db.execute("UPDATE messages SET seq = 25 WHERE message_id = '4'", []).unwrap();
        ThreadSegment::repair(&db, 1).unwrap();
        assert_eq!(segments(&db), [(10, 1), (20, 2), (25, 4)]);
        assert_eq!(seqs(&db, BEHIND, 0), [10, 20, 25, 25]);
        db.execute("UPDATE messages SET seq = 20 WHERE message_id = '4'", []).unwrap();
        let damage = ThreadSegment::repair(&db, 1).unwrap_err();
        assert_eq!(damage.sqlite_error_code(), Some(rusqlite::ErrorCode::DatabaseCorrupt));
    }
}
