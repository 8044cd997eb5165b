use rusqlite::{CachedStatement, Connection, ToSql};
use throughline_core::{
    OwnerId, Seq, TenantId, ThreadId, Timestamp, Title,
    backend::{ThreadCounters, ThreadStats},
    threads::ThreadSummary,
};

use super::{Columns, Head, IN_MEMORY, checksum_of, head::flag, number};

/// The summary of a thread, and related data: a row of `catalog`.
#[derive(Debug)]
pub(crate) struct EntryRow {
    pub(crate) facts: ThreadStats,
    /// The last sequence number that the thread has assigned.
    pub(crate) last_seq: i64,
}

/// The columns of a summary in the indexes of the lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Listed {
    /// The columns that few writes change.
    membership: Membership,
    slot: i64,
}

/// The columns of a summary in both indexes, and the time of creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Membership {
    listed: bool,
    archived: bool,
    hidden: bool,
    created_at: Timestamp,
}

impl Listed {
    /// Returns the slot of a time: an interval of 16 milliseconds. A list sorts all threads that were active in its
    /// current slot, so longer slots mean more threads to sort. A second write to a thread within a slot saves an index
    /// page.
    pub(crate) const fn slot(active_at: i64) -> i64 {
        active_at >> 14
    }

    pub(crate) fn of(facts: &ThreadStats) -> Self {
        let ThreadStats { archived, hidden, created_at, .. } = *facts;
        let membership = Membership { listed: facts.is_listed(), archived, hidden, created_at };
        Self { membership, slot: Self::slot(facts.counters.active_at.as_micros()) }
    }
}

/// The columns of a summary, as `c`, in the order in which [`EntryRow::read`] expects them. The argument is the slot, where
/// it was read from an index already.
macro_rules! entry_columns {
    () => {
        entry_columns!("c.active_slot")
    };
    ($slot:literal) => {
        concat!(
            "c.checksum, c.listed, c.archived, c.active_at, c.hidden, c.has_begun, c.created_at, c.changed_at, c.messages, \
             c.turns, c.bytes, c.preview_seq, c.title, c.owner, c.labels, c.metadata, c.forked_from, c.preview, ",
            $slot,
            ", c.last_seq, c.reuses_ids, c.thread"
        )
    };
}
pub(crate) use entry_columns;

/// The number of these columns.
pub(crate) const ENTRY_COLUMNS: usize = 22;

/// Sets the columns that are in no index.
macro_rules! set_unindexed {
    () => {
        "active_at = ?2, has_begun = ?3, changed_at = ?4, messages = ?5, turns = ?6, bytes = ?7, preview_seq = ?8, \
         checksum = ?9, title = ?10, owner = ?11, labels = ?12, metadata = ?13, forked_from = ?14, preview = ?15, \
         last_seq = ?16, reuses_ids = ?17"
    };
}

const WRITE_UNMOVED: &str = concat!("UPDATE catalog SET ", set_unindexed!(), " WHERE thread_pk = ?1");
const UNMOVED_PARAMETERS: usize = 17;
/// Also sets the only column that is in the index by activity alone.
const WRITE_ACTIVE: &str =
    concat!("UPDATE catalog SET active_slot = ?18, ", set_unindexed!(), " WHERE thread_pk = ?1");
const ACTIVE_PARAMETERS: usize = 18;
const WRITE: &str = concat!(
    "INSERT INTO catalog (thread_pk, active_at, has_begun, changed_at, messages, turns, bytes, preview_seq, checksum, \
     title, owner, labels, metadata, forked_from, preview, last_seq, reuses_ids, active_slot, listed, archived, hidden, \
     created_at, tenant, thread) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, \
     ?19, ?20, ?21, ?22, ?23, ?24) ON CONFLICT (thread_pk) DO UPDATE SET active_slot = ?18, listed = ?19, archived = ?20, \
     hidden = ?21, created_at = ?22, thread = ?24, ",
    set_unindexed!()
);

impl EntryRow {
    /// Reads the columns of [`entry_columns!`] from `at` on; `None` if their checksum does not match.
    pub(crate) fn read(row: &impl Columns, at: usize, tenant: &str, thread: &str) -> Option<Self> {
        let text = |column: usize| str::from_utf8(row.text(at + column)?).ok();
        let count = |column: usize| u64::try_from(row.integer(at + column)?).ok();
        let time = |column: usize| row.integer(at + column).map(Timestamp::from_micros);
        let fields = Fields {
            tenant,
            thread,
            listed: row.integer(at + 1)?,
            title: text(12)?,
            owner: row.optional_str(at + 13)?,
            labels: text(14)?,
            metadata: text(15)?,
            forked_from: row.optional_str(at + 16)?,
            preview: row.optional_str(at + 17)?,
            preview_seq: row.integer(at + 11),
            last_seq: row.integer(at + 19)?,
            reuses_ids: row.integer(at + 20)?,
            numbers: [2, 3, 4, 5, 6, 7, 8, 9, 10].map(|column| row.integer(at + column).unwrap_or(i64::MIN)),
        };
        if row.integer(at)? != fields.checksum() {
            return None;
        }
        let facts = ThreadStats {
            title: Title::new(fields.title).ok()?,
            owner: fields.owner.map(OwnerId::new).transpose().ok()?,
            labels: serde_json::from_str(fields.labels).ok()?,
            metadata: serde_json::from_str(fields.metadata).ok()?,
            archived: flag(row, at + 2)?,
            hidden: flag(row, at + 4)?,
            has_begun: flag(row, at + 5)?,
            reuses_ids: flag(row, at + 20)?,
            forked_from: fields.forked_from.map(serde_json::from_str).transpose().ok()?,
            created_at: time(6)?,
            changed_at: time(7)?,
            counters: ThreadCounters {
                messages: count(8)?,
                turns: count(9)?,
                bytes: count(10)?,
                preview_seq: fields.preview_seq.map(u64::try_from).transpose().ok()?.map(Seq::new),
                preview: fields.preview.map(str::to_owned),
                active_at: time(3)?,
            },
        };
        let is_in_its_slot = row.integer(at + 18)? == Listed::of(&facts).slot;
        let has_its_id = text(21)? == thread;
        let last_seq = fields.last_seq;
        (is_in_its_slot && has_its_id).then_some(Self { facts, last_seq })
    }

    /// Returns the thread summary.
    pub(crate) fn summary(&self, tenant: &TenantId, thread: &ThreadId, head: &Head) -> ThreadSummary {
        let last_seq = Seq::new(u64::try_from(self.last_seq).unwrap_or_default());
        self.facts.entry(tenant, thread, head.generation(), last_seq)
    }

    /// Returns a writer of rows.
    pub(crate) const fn writer(db: &Connection) -> EntryWriter<'_> {
        EntryWriter {
            unmoved: Statement::new(db, WRITE_UNMOVED),
            active: Statement::new(db, WRITE_ACTIVE),
            moved: Statement::new(db, WRITE),
        }
    }
}

/// Writes rows of `catalog`.
pub(crate) struct EntryWriter<'db> {
    unmoved: Statement<'db>,
    active: Statement<'db>,
    moved: Statement<'db>,
}

/// A statement that is prepared at its first use: most transactions need one of the three.
struct Statement<'db> {
    db: &'db Connection,
    sql: &'static str,
    prepared: Option<CachedStatement<'db>>,
}

impl<'db> Statement<'db> {
    const fn new(db: &'db Connection, sql: &'static str) -> Self {
        Self { db, sql, prepared: None }
    }

    fn execute(&mut self, parameters: &[&dyn ToSql]) -> rusqlite::Result<usize> {
        if let Some(prepared) = &mut self.prepared {
            return prepared.execute(parameters);
        }
        self.prepared.insert(self.db.prepare_cached(self.sql)?).execute(parameters)
    }
}

impl EntryWriter<'_> {
    /// Writes a row over an existing one. If that is listed as `stored`, an index whose columns stay the same is not
    /// touched: setting a column, even to the same value, writes the indexes that it is in.
    pub(crate) fn write(
        &mut self,
        (facts, last_seq): (&ThreadStats, i64),
        thread_pk: i64,
        (tenant, thread): (&str, &str),
        stored: Option<Listed>,
    ) -> rusqlite::Result<()> {
        let labels = serde_json::to_string(&facts.labels).expect(IN_MEMORY);
        let metadata = serde_json::to_string(&facts.metadata).expect(IN_MEMORY);
        let forked_from =
            facts.forked_from.as_ref().map(|point| serde_json::to_string(point).expect(IN_MEMORY));
        let counters = &facts.counters;
        let fields = Fields {
            tenant,
            thread,
            listed: facts.is_listed().into(),
            title: facts.title.as_str(),
            owner: facts.owner.as_ref().map(OwnerId::as_str),
            labels: &labels,
            metadata: &metadata,
            forked_from: forked_from.as_deref(),
            preview: counters.preview.as_deref(),
            preview_seq: counters.preview_seq.map(|seq| number(seq.get())),
            last_seq,
            reuses_ids: facts.reuses_ids.into(),
            numbers: [
                facts.archived.into(),
                counters.active_at.as_micros(),
                facts.hidden.into(),
                facts.has_begun.into(),
                facts.created_at.as_micros(),
                facts.changed_at.as_micros(),
                number(counters.messages),
                number(counters.turns),
                number(counters.bytes),
            ],
        };
        let [archived, active_at, hidden, has_begun, created_at, changed_at, messages, turns, bytes] =
            fields.numbers;
        let (checksum, listed) = (fields.checksum(), Listed::of(facts));
        let parameters: [&dyn ToSql; 24] = [
            &thread_pk,
            &active_at,
            &has_begun,
            &changed_at,
            &messages,
            &turns,
            &bytes,
            &fields.preview_seq,
            &checksum,
            &fields.title,
            &fields.owner,
            &fields.labels,
            &fields.metadata,
            &fields.forked_from,
            &fields.preview,
            &fields.last_seq,
            &fields.reuses_ids,
            &listed.slot,
            &fields.listed,
            &archived,
            &hidden,
            &created_at,
            &fields.tenant,
            &fields.thread,
        ];
        let written = match stored {
            Some(stored) if stored == listed => self.unmoved.execute(&parameters[..UNMOVED_PARAMETERS])?,
            Some(stored) if stored.membership == listed.membership => {
                self.active.execute(&parameters[..ACTIVE_PARAMETERS])?
            }
            _ => 0,
        };
        if written == 0 {
            self.moved.execute(&parameters[..])?;
        }
        Ok(())
    }
}

/// Everything that the checksum of a summary covers.
struct Fields<'a> {
    tenant: &'a str,
    thread: &'a str,
    listed: i64,
    title: &'a str,
    owner: Option<&'a str>,
    labels: &'a str,
    metadata: &'a str,
    forked_from: Option<&'a str>,
    preview: Option<&'a str>,
    preview_seq: Option<i64>,
    last_seq: i64,
    reuses_ids: i64,
    numbers: [i64; 9],
}

impl Fields<'_> {
    fn checksum(&self) -> i64 {
        checksum_of!(; Self {
            tenant, thread, listed, title, owner, labels, metadata, forked_from, preview, preview_seq, last_seq, reuses_ids,
            numbers
        } = *self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns how many indexes SQLite writes for a statement.
    fn written_indexes(sql: &str) -> usize {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(include_str!("../../migrations/0001_initial.sql")).unwrap();
        let mut explained = db.prepare(&format!("EXPLAIN {sql}")).unwrap();
        // Without values for the parameters: nothing runs.
        let opcodes = explained.raw_query().mapped(|row| row.get::<_, String>("opcode"));
        opcodes.filter(|opcode| opcode.as_deref() == Ok("IdxInsert")).count()
    }

    /// A later message of a thread is the second case, or the first one within 16 ms.
    #[test]
    fn a_message_writes_at_most_the_index_by_activity() {
        assert_eq!(written_indexes(WRITE_UNMOVED), 0);
        assert_eq!(written_indexes(WRITE_ACTIVE), 1);
        // The insert and the update, each with both.
        assert_eq!(written_indexes(WRITE), 4);
    }
}
