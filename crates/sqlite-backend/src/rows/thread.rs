//! Threads: a row of `threads`, one of `catalog` unless the thread was deleted, and the beginning of its last segment.

use rusqlite::{Connection, OptionalExtension, Row, params};
use throughline_core::{Seq, Timestamp};
use throughline_engine::{
    StagedRows,
    rows::{ThreadKey, ThreadRow},
};

use super::{Source, corrupt};
use crate::{
    failure::Applied,
    record::{
        ENTRY_COLUMNS, EntryRow, HEAD_COLUMNS, Head, Listed, ThreadSegment, by_seq, entry_columns,
        head_columns, messages_behind, number,
    },
};

/// A thread, its summary, the last sequence number that a message of it has or had, its last segment, and whether it
/// has aliases.
pub(crate) const FIND_THREAD: &str = concat!(
    "SELECT ",
    head_columns!(),
    ", c.thread_pk, ",
    entry_columns!(),
    ", max(t.deleted_seq, t.floor, coalesce((SELECT m.seq FROM ",
    messages_behind!("t.thread_pk", "t.floor"),
    by_seq!("DESC"),
    " LIMIT 1), 0), coalesce(e.first_seq, 0)), e.first_seq, e.segment, e.previous, e.checksum, EXISTS (SELECT 1 FROM aliases a WHERE a.thread_pk = t.thread_pk) \
     FROM threads t LEFT JOIN catalog c ON c.thread_pk = t.thread_pk \
     LEFT JOIN thread_segments e ON e.thread_pk = t.thread_pk AND e.first_seq = \
     (SELECT max(l.first_seq) FROM thread_segments l WHERE l.thread_pk = t.thread_pk) \
     WHERE t.tenant = ?1 AND t.thread = ?2"
);
/// The columns of [`FIND_THREAD`].
const HAS_ENTRY: usize = HEAD_COLUMNS;
const ENTRY: usize = HAS_ENTRY + 1;
const LAST_SEQ: usize = ENTRY + ENTRY_COLUMNS;
const SEGMENT: usize = LAST_SEQ + 1;
const HAS_ALIASES: usize = SEGMENT + 4;

/// The stored columns of a thread that the engine does not keep.
#[derive(Debug, Clone)]
pub(super) struct StoredThread {
    pub(super) thread_pk: i64,
    pub(super) head: Head,
    /// The columns of the thread in the index of the lists. `None` if it has no summary, or a damaged one.
    listed: Option<Listed>,
    /// The last segment of the thread, if it has or had any.
    pub(super) segment: Option<i64>,
    /// The beginning of that segment, or 0. It differs from the head until the thread is written.
    pub(super) last_segment: i64,
    /// The last sequence number by the summary. Zero if it cannot be read.
    pub(super) summary_last_seq: i64,
    pub(super) row: ThreadRow,
}

impl Source<'_> {
    /// Returns the thread, deleted or not.
    pub(super) fn stored_thread(&mut self, key: &ThreadKey) -> Applied<Option<&mut StoredThread>> {
        let db = self.db;
        self.threads.get_or_load(key, || find(db, key))
    }

    /// Returns the number of a thread, deleted or not.
    fn find_thread_pk(&mut self, key: &ThreadKey) -> Applied<Option<i64>> {
        Ok(self.stored_thread(key)?.map(|thread| thread.thread_pk))
    }

    /// Returns the number of a thread. Creates an empty thread if there is none.
    pub(crate) fn thread_pk_or_begin(&mut self, key: &ThreadKey) -> Applied<i64> {
        if let Some(thread_pk) = self.find_thread_pk(key)? {
            return Ok(thread_pk);
        }
        self.threads.forget(key);
        Ok(Head::new(0).insert(self.db, key.tenant.as_str(), key.thread.as_str())?)
    }

    /// Returns the number of an existing thread.
    pub(crate) fn thread_pk(&mut self, key: &ThreadKey) -> Applied<i64> {
        let found = self.find_thread_pk(key)?;
        found.ok_or_else(|| corrupt(format!("the thread `{}` is missing", key.thread)).into())
    }
}

fn find(db: &Connection, key: &ThreadKey) -> Applied<Option<StoredThread>> {
    let found = db
        .prepare_cached(FIND_THREAD)?
        .query_row(params![key.tenant.as_str(), key.thread.as_str()], |row| StoredThread::read(row, key))
        .optional()?;
    match found {
        None => Ok(None),
        Some(None) => Err(corrupt(format!("the row of the thread `{}` is damaged", key.thread)).into()),
        Some(found) => Ok(found),
    }
}

impl StoredThread {
    fn read(row: &Row<'_>, key: &ThreadKey) -> rusqlite::Result<Option<Self>> {
        let (tenant, thread) = (key.tenant.as_str(), key.thread.as_str());
        let Some((thread_pk, head)) = Head::read(row, 0, tenant, thread) else { return Ok(None) };
        // The head names the beginning of the last segment: without that segment, or with another one, the thread would
        // assign a sequence number twice.
        let (segment, last_segment, is_ordered) = match row.get::<_, Option<i64>>(SEGMENT)? {
            None => (None, 0, head.last_segment == 0),
            Some(first_seq) => {
                let last = ThreadSegment::read(row, SEGMENT, thread_pk)?;
                let is_last = last.is_some() && first_seq == head.last_segment;
                (Some(row.get(SEGMENT + 1)?), first_seq, is_last)
            }
        };
        let has_entry = row.get::<_, Option<i64>>(HAS_ENTRY)?.is_some();
        let entry = if has_entry { EntryRow::read(row, ENTRY, tenant, thread) } else { None };
        let (summary, summary_last_seq) =
            entry.map_or((None, 0), |entry| (Some(entry.facts), entry.last_seq));
        let row = ThreadRow {
            // The sequence number of a message may be damaged: no number above the one of the summary is assigned
            // again.
            last_seq: seq(row.get::<_, i64>(LAST_SEQ)?.max(summary_last_seq)),
            floor: seq(head.floor),
            generation: head.generation(),
            live: None,
            aliases: row.get::<_, bool>(HAS_ALIASES)?.into(),
            removed_at: Timestamp::from_micros(head.gone_at),
            removed_question: (head.gone_question > 0).then(|| seq(head.gone_question)),
            deleted: head.deleted,
            purgeable: head.purgeable,
            summary,
            order_is_damaged: !is_ordered,
        };
        let listed = row.summary.as_ref().map(Listed::of);
        Ok(Some(Self { thread_pk, head, listed, segment, last_segment, summary_last_seq, row }))
    }
}

fn seq(stored: i64) -> Seq {
    Seq::new(u64::try_from(stored).unwrap_or_default())
}

/// Returns the head of a thread with this row.
fn head(row: &ThreadRow, deleted_seq: i64, last_segment: i64) -> Head {
    Head {
        deleted_seq,
        floor: number(row.floor.get()),
        generation: number(row.generation.get()),
        gone_at: row.removed_at.as_micros(),
        gone_question: row.removed_question.map_or(0, |seq| number(seq.get())),
        deleted: row.deleted,
        purgeable: row.purgeable,
        last_segment,
    }
}

/// Inserts the new threads, without a summary: their messages refer to them.
pub(super) fn begin(source: &mut Source<'_>, staged: &StagedRows) -> Applied<()> {
    for (key, row) in staged.threads.added() {
        let head = head(row, 0, 0);
        let thread_pk = head.insert(source.db, key.tenant.as_str(), key.thread.as_str())?;
        let row = ThreadRow { last_seq: Seq::ZERO, summary: None, order_is_damaged: false, ..row.clone() };
        let thread = StoredThread {
            thread_pk,
            head,
            listed: None,
            segment: None,
            last_segment: 0,
            summary_last_seq: 0,
            row,
        };
        source.threads.insert(key.clone(), thread);
    }
    Ok(())
}

/// Writes the threads. `removed_up_to` returns the sequence number up to which this transaction removed messages of a
/// thread.
pub(super) fn write(
    source: &mut Source<'_>,
    staged: &StagedRows,
    removed_up_to: impl Fn(&ThreadKey) -> i64,
) -> Applied<()> {
    let db = source.db;
    let mut entries = EntryRow::writer(db);
    for (key, row) in staged.threads.changed() {
        let (tenant, name) = (key.tenant.as_str(), key.thread.as_str());
        let Some(thread) = source.stored_thread(key)? else { continue };
        let thread_pk = thread.thread_pk;
        let deleted_seq = thread.head.deleted_seq.max(removed_up_to(key));
        let head = head(row, deleted_seq, thread.last_segment);
        if head != thread.head {
            head.update(db, thread_pk, tenant, name)?;
            if head.purgeable != thread.head.purgeable {
                head.write_purgeable(db, thread_pk)?;
            }
        }
        match &row.summary {
            Some(facts)
                if thread.row.summary.as_ref() != Some(facts) || thread.row.last_seq != row.last_seq =>
            {
                let last_seq = number(row.last_seq.get());
                entries.write((facts, last_seq), thread_pk, (tenant, name), thread.listed)?;
                (thread.listed, thread.summary_last_seq) = (Some(Listed::of(facts)), last_seq);
            }
            None if row.deleted && !thread.head.deleted => {
                db.prepare_cached("DELETE FROM catalog WHERE thread_pk = ?1")?.execute([thread_pk])?;
                thread.listed = None;
            }
            _ => {}
        }
        thread.head = head;
        // Only a repair of the order changes whether it is damaged, and the repair loads the thread again.
        thread.row = ThreadRow { order_is_damaged: thread.row.order_is_damaged, ..row.clone() };
        source.threads.written(key);
    }
    Ok(())
}
