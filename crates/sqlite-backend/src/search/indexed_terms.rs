use rusqlite::{Connection, params};
use throughline_core::backend::search::{MAX_COUNT, Terms};

use super::shards;
use crate::record::Checksum;

/// The columns of the index for terms by their number of occurrences, the greatest number first.
pub(crate) const BY_COUNT: [&str; MAX_COUNT as usize] = ["four", "three", "twice", "once"];

const ADD: &str =
    "INSERT INTO search (rowid, four, three, twice, once, thread) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

/// The index has no content, so SQLite needs the same values again to remove a row.
const REMOVE: &str = "INSERT INTO search (search, rowid, four, three, twice, once, thread) \
    VALUES ('delete', ?1, ?2, ?3, ?4, ?5, ?6)";

/// The terms of a message in the form of the index.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct IndexedTerms {
    /// The terms with the prefix of their shard, in the columns of [`BY_COUNT`].
    columns: [String; BY_COUNT.len()],
    thread: String,
}

impl IndexedTerms {
    pub(crate) fn new(terms: &Terms, shard: i64, thread_pk: i64) -> Self {
        let (prefix, mut columns) = (shards::prefix(shard), <[String; BY_COUNT.len()]>::default());
        for (term, count) in terms.iter() {
            let Some(column) = columns.get_mut((MAX_COUNT - count) as usize) else { continue };
            if !column.is_empty() {
                column.push(' ');
            }
            column.push_str(&prefix);
            column.push_str(term);
        }
        Self { columns, thread: shards::term_of_thread(thread_pk) }
    }

    /// Returns the terms as one text, with a line for each column.
    pub(super) fn to_lines(&self) -> String {
        self.columns.join("\n")
    }

    /// Reads [`to_lines`](Self::to_lines).
    pub(super) fn from_lines(lines: &str, thread_pk: i64) -> Self {
        let (mut columns, mut lines) = (<[String; BY_COUNT.len()]>::default(), lines.split('\n'));
        for column in &mut columns {
            lines.next().unwrap_or_default().clone_into(column);
        }
        Self { columns, thread: shards::term_of_thread(thread_pk) }
    }

    /// Returns the hash of the terms.
    pub(crate) fn digest(&self) -> i64 {
        self.columns.iter().fold(Checksum::new(), |sum, column| sum.text(column)).text(&self.thread).finish()
    }

    /// Returns the number of terms without that of the thread.
    pub(super) fn count(&self) -> i64 {
        let terms = self.columns.iter().flat_map(|column| column.split_ascii_whitespace()).count();
        i64::try_from(terms).unwrap_or(i64::MAX)
    }

    pub(crate) fn add(&self, db: &Connection, message_pk: i64) -> rusqlite::Result<()> {
        self.write(db, ADD, message_pk)
    }

    pub(super) fn remove(&self, db: &Connection, message_pk: i64) -> rusqlite::Result<()> {
        self.write(db, REMOVE, message_pk)
    }

    fn write(&self, db: &Connection, sql: &str, message_pk: i64) -> rusqlite::Result<()> {
        let [four, three, twice, once] = &self.columns;
        let parameters = params![message_pk, four, three, twice, once, self.thread];
        db.prepare_cached(sql)?.execute(parameters).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use throughline_core::backend::search::Tokenizer;

    use super::*;

    #[test]
    fn terms_are_in_the_column_of_their_count() {
        let terms = Terms::of("d d d d d b b a c c c e", Tokenizer::Words);
        let indexed = IndexedTerms::new(&terms, 0x1f, 7);
        assert_eq!(indexed.to_lines(), "1f.d\n1f.c\n1f.b\n1f.a 1f.e");
        assert_eq!((indexed.thread.as_str(), indexed.count()), (".7", 5));
        assert_eq!(IndexedTerms::from_lines(&indexed.to_lines(), 7), indexed);
        assert_ne!(IndexedTerms::new(&terms, 0x1f, 8).digest(), indexed.digest());
    }
}
