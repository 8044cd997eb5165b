use rusqlite::{Connection, params};
use throughline_core::{
    OwnerId, Seq, Timestamp, Title,
    backend::{Tally, ThreadFacts},
};

use super::{Checksum, Columns, IN_MEMORY, head::flag, number};

/// What lists show of a thread, and what the store keeps beside it: the row of `catalogue`.
pub(crate) struct EntryRow;

/// The columns of an entry in the order in which [`EntryRow::read`] takes them, as `c`.
macro_rules! entry_columns {
    () => {
        "c.checksum, c.listed, c.archived, c.active_at, c.hidden, c.has_begun, c.created_at, c.changed_at, c.messages, \
         c.turns, c.bytes, c.preview_seq, c.title, c.owner, c.labels, c.metadata, c.forked_from, c.preview"
    };
}
pub(crate) use entry_columns;

/// How many columns that is.
pub(crate) const ENTRY_COLUMNS: usize = 18;

impl EntryRow {
    /// Reads the columns of [`entry_columns!`] from `at` on; nothing when they are not what their checksum was made for.
    pub(crate) fn read(row: &impl Columns, at: usize, tenant: &str, thread: &str) -> Option<ThreadFacts> {
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
            numbers: [2, 3, 4, 5, 6, 7, 8, 9, 10].map(|column| row.integer(at + column).unwrap_or(i64::MIN)),
        };
        if row.integer(at)? != fields.checksum() {
            return None;
        }
        Some(ThreadFacts {
            title: Title::new(fields.title).ok()?,
            owner: match fields.owner {
                Some(owner) => Some(OwnerId::new(owner).ok()?),
                None => None,
            },
            labels: serde_json::from_str(fields.labels).ok()?,
            metadata: serde_json::from_str(fields.metadata).ok()?,
            archived: flag(row, at + 2)?,
            hidden: flag(row, at + 4)?,
            has_begun: flag(row, at + 5)?,
            forked_from: match fields.forked_from {
                Some(json) => Some(serde_json::from_str(json).ok()?),
                None => None,
            },
            created_at: time(6)?,
            changed_at: time(7)?,
            tally: Tally {
                messages: count(8)?,
                turns: count(9)?,
                bytes: count(10)?,
                preview_seq: match fields.preview_seq {
                    Some(seq) => Some(Seq::new(u64::try_from(seq).ok()?)),
                    None => None,
                },
                preview: fields.preview.map(str::to_owned),
                active_at: time(3)?,
            },
        })
    }

    /// Writes the row, over the one that is there.
    pub(crate) fn write(
        facts: &ThreadFacts,
        db: &Connection,
        thread_pk: i64,
        tenant: &str,
        thread: &str,
    ) -> rusqlite::Result<()> {
        let labels = serde_json::to_string(&facts.labels).expect(IN_MEMORY);
        let metadata = serde_json::to_string(&facts.metadata).expect(IN_MEMORY);
        let forked_from =
            facts.forked_from.as_ref().map(|point| serde_json::to_string(point).expect(IN_MEMORY));
        let tally = &facts.tally;
        let fields = Fields {
            tenant,
            thread,
            listed: facts.is_listed().into(),
            title: facts.title.as_str(),
            owner: facts.owner.as_ref().map(OwnerId::as_str),
            labels: &labels,
            metadata: &metadata,
            forked_from: forked_from.as_deref(),
            preview: tally.preview.as_deref(),
            preview_seq: tally.preview_seq.map(|seq| number(seq.get())),
            numbers: [
                facts.archived.into(),
                tally.active_at.as_micros(),
                facts.hidden.into(),
                facts.has_begun.into(),
                facts.created_at.as_micros(),
                facts.changed_at.as_micros(),
                number(tally.messages),
                number(tally.turns),
                number(tally.bytes),
            ],
        };
        let [archived, active_at, hidden, has_begun, created_at, changed_at, messages, turns, bytes] =
            fields.numbers;
        db.prepare_cached(
            "INSERT INTO catalogue (thread_pk, tenant, listed, archived, active_at, hidden, has_begun, created_at, \
             changed_at, messages, turns, bytes, preview_seq, checksum, title, owner, labels, metadata, forked_from, \
             preview) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20) \
             ON CONFLICT (thread_pk) DO UPDATE SET listed = ?3, archived = ?4, active_at = ?5, hidden = ?6, \
             has_begun = ?7, created_at = ?8, changed_at = ?9, messages = ?10, turns = ?11, bytes = ?12, \
             preview_seq = ?13, checksum = ?14, title = ?15, owner = ?16, labels = ?17, metadata = ?18, \
             forked_from = ?19, preview = ?20",
        )?
        .execute(params![
            thread_pk,
            tenant,
            fields.listed,
            archived,
            active_at,
            hidden,
            has_begun,
            created_at,
            changed_at,
            messages,
            turns,
            bytes,
            fields.preview_seq,
            fields.checksum(),
            fields.title,
            fields.owner,
            fields.labels,
            fields.metadata,
            fields.forked_from,
            fields.preview,
        ])?;
        Ok(())
    }
}

/// Everything that the checksum of an entry covers.
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
    numbers: [i64; 9],
}

impl Fields<'_> {
    fn checksum(&self) -> i64 {
        let Self {
            tenant,
            thread,
            listed,
            title,
            owner,
            labels,
            metadata,
            forked_from,
            preview,
            preview_seq,
            numbers,
        } = self;
        let sum = Checksum::new()
            .text(tenant)
            .text(thread)
            .integer(*listed)
            .text(title)
            .optional_text(*owner)
            .text(labels)
            .text(metadata)
            .optional_text(*forked_from)
            .optional_text(*preview)
            .optional_integer(*preview_seq);
        numbers.iter().fold(sum, |sum, number| sum.integer(*number)).finish()
    }
}
