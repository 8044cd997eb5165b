use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, ffi, params};

/// The largest number of bytes in a row of more than one term. Two such rows fit into a page, and a lookup compares its term with those of
/// one row, some 150.
const BYTES: usize = 1900;

/// The row that has a term, if any row does.
const COVERING: &str = "SELECT row_pk, first, terms FROM search_vocabulary \
    WHERE tenant = ?1 AND part = ?2 AND first <= ?3 ORDER BY first DESC LIMIT 1";

const FIRST: &str = "SELECT row_pk, first, terms FROM search_vocabulary \
    WHERE tenant = ?1 AND part = ?2 ORDER BY first LIMIT 1";

const AFTER: &str = "SELECT row_pk, first, terms FROM search_vocabulary \
    WHERE tenant = ?1 AND part = ?2 AND first > ?3 ORDER BY first LIMIT 1";

const NEXT: &str = "SELECT min(first) FROM search_vocabulary WHERE tenant = ?1 AND part = ?2 AND first > ?3";

/// Consecutive terms of a vocabulary, with the bits of the shards that have them.
#[derive(Debug, Default)]
pub(super) struct Row {
    row_pk: Option<i64>,
    first: String,
    terms: BTreeMap<String, u64>,
    bytes: usize,
}

/// Returns the terms of a row, each with its [`bits`] as they are written: a lookup needs those of one term only.
///
/// # Errors
/// They are damaged. The index is built again, as any damaged index is.
pub(super) fn parse(terms: &str) -> impl Iterator<Item = rusqlite::Result<(&str, &str)>> {
    terms.lines().map(|line| line.rsplit_once(' ').ok_or_else(damaged))
}

/// Returns the bits of a term.
///
/// # Errors
/// They are damaged.
pub(super) fn bits(written: &str) -> rusqlite::Result<u64> {
    u64::from_str_radix(written, 16).map_err(|_| damaged())
}

/// Returns a text of a row.
pub(super) fn text<'a>(row: &'a rusqlite::Row<'_>, column: usize) -> rusqlite::Result<&'a str> {
    row.get_ref(column)?.as_str().map_err(|_| damaged())
}

fn damaged() -> rusqlite::Error {
    let text = "a row of `search_vocabulary` is not what was written".to_owned();
    rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CORRUPT), Some(text))
}

impl Row {
    fn of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        let mut read = Self { row_pk: row.get(0)?, first: text(row, 1)?.to_owned(), ..Self::default() };
        for entry in parse(text(row, 2)?) {
            let (term, written) = entry?;
            read.add(term, bits(written)?);
        }
        Ok(read)
    }

    /// Returns the row to which a term belongs, and the term at which the next row begins.
    pub(super) fn covering(
        db: &Connection,
        tenant: &str,
        part: i64,
        term: &str,
    ) -> rusqlite::Result<(Self, Option<String>)> {
        let covering =
            db.prepare_cached(COVERING)?.query_row(params![tenant, part, term], Self::of).optional()?;
        let row = match covering {
            Some(row) => Some(row),
            None => db.prepare_cached(FIRST)?.query_row(params![tenant, part], Self::of).optional()?,
        };
        let row = row.unwrap_or_default();
        let after = term.max(&row.first);
        let next = db.prepare_cached(NEXT)?.query_row(params![tenant, part, after], |row| row.get(0))?;
        Ok((row, next))
    }

    /// Returns the first row that begins after a term.
    pub(super) fn after(
        db: &Connection,
        tenant: &str,
        part: i64,
        term: &str,
    ) -> rusqlite::Result<Option<Self>> {
        db.prepare_cached(AFTER)?.query_row(params![tenant, part, term], Self::of).optional()
    }

    /// Returns the last term.
    pub(super) fn last(&self) -> &str {
        self.terms.last_key_value().map_or(&self.first, |(term, _)| term)
    }

    /// Adds bits to a term.
    pub(super) fn add(&mut self, term: &str, bits: u64) {
        if let Some(there) = self.terms.get_mut(term) {
            *there |= bits;
        } else {
            self.terms.insert(term.to_owned(), bits);
            self.bytes += term.len();
        }
    }

    /// Removes a bit from all terms. Returns whether a term had it.
    pub(super) fn remove(&mut self, bit: u64) -> bool {
        let mut had = false;
        self.terms.retain(|_, bits| {
            had |= *bits & bit != 0;
            *bits &= !bit;
            *bits != 0
        });
        had
    }

    /// Returns whether it is so long that it should be written before more terms are added.
    pub(super) const fn is_long(&self) -> bool {
        self.bytes > 4 * BYTES
    }

    /// Replaces the row by its terms, divided into rows of equal length if there are too many for one.
    pub(super) fn write(self, db: &Connection, tenant: &str, part: i64) -> rusqlite::Result<()> {
        if let Some(row_pk) = self.row_pk {
            db.prepare_cached("DELETE FROM search_vocabulary WHERE row_pk = ?1")?.execute([row_pk])?;
        }
        let lines: Vec<(&str, String)> =
            self.terms.iter().map(|(term, bits)| (term.as_str(), format!("{term} {bits:x}\n"))).collect();
        let bytes: usize = lines.iter().map(|(_, line)| line.len()).sum();
        let of_each = bytes / bytes.div_ceil(BYTES).max(1);
        let mut insert = db.prepare_cached(
            "INSERT INTO search_vocabulary (tenant, part, first, terms) VALUES (?1, ?2, ?3, ?4)",
        )?;
        let mut lines = lines.as_slice();
        while let Some((first, _)) = lines.first() {
            let mut text = String::with_capacity(BYTES);
            while let Some((_, line)) = lines.first()
                && (text.is_empty() || text.len() < of_each && text.len() + line.len() <= BYTES)
            {
                text.push_str(line);
                lines = &lines[1..];
            }
            insert.execute(params![tenant, part, first, text])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::open::create_tables;

    fn written(terms: &[(&str, u64)]) -> (Connection, Vec<(String, String)>) {
        let db = Connection::open_in_memory().unwrap();
        create_tables(&db).unwrap();
        let mut row = Row::default();
        terms.iter().for_each(|(term, bits)| row.add(term, *bits));
        row.write(&db, "a", 0).unwrap();
        let rows = rows(&db);
        (db, rows)
    }

    fn rows(db: &Connection) -> Vec<(String, String)> {
        let mut rows = db.prepare("SELECT first, terms FROM search_vocabulary ORDER BY first").unwrap();
        let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.map(Result::unwrap).collect()
    }

    #[test]
    fn terms_are_in_order_with_the_bits_of_their_shards() {
        let (_, rows) = written(&[("wave", 1 << 63), ("water", 1), ("wave", 0x1f)]);
        assert_eq!(rows, [("water".to_owned(), "water 1\nwave 800000000000001f\n".to_owned())]);
        let terms: Vec<(&str, u64)> = parse(&rows[0].1)
            .map(|entry| entry.and_then(|(term, written)| Ok((term, bits(written)?))))
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(terms, [("water", 1), ("wave", 0x8000_0000_0000_001f)]);
        assert!(bits("1g").is_err() && parse("water").all(|entry| entry.is_err()));
    }

    #[test]
    fn long_rows_are_divided_equally() {
        let terms: Vec<String> = (0..500).map(|n| format!("w{n:03}")).collect();
        let terms: Vec<(&str, u64)> = terms.iter().map(|term| (term.as_str(), 1)).collect();
        // A line has seven bytes.
        let (_, rows) = written(&terms);
        let lengths: Vec<usize> = rows.iter().map(|(_, terms)| terms.len() / 7).collect();
        assert_eq!((lengths, rows[1].0.as_str()), (vec![250, 250], "w250"));
        let (long, longer) = ("a".repeat(3000), "b".repeat(4000));
        let (_, rows) = written(&[(&long, 1), (&longer, 1), ("c", 1)]);
        assert_eq!(rows.iter().map(|(first, _)| first.len()).collect::<Vec<_>>(), [3000, 4000, 1]);
    }

    #[test]
    fn a_removed_bit_leaves_no_term_that_only_its_shard_had() {
        let (db, _) = written(&[("sea", 2), ("water", 2), ("wave", 3)]);
        for (bit, had, left) in
            [(4, false, Some("sea 2\nwater 2\nwave 3\n")), (2, true, Some("wave 1\n")), (1, true, None)]
        {
            let mut row = Row::after(&db, "a", 0, "").unwrap().unwrap();
            assert_eq!(row.remove(bit), had);
            row.write(&db, "a", 0).unwrap();
            let rows = rows(&db);
            assert_eq!(rows.first().map(|(_, terms)| terms.as_str()), left);
            assert!(rows.iter().all(|(first, terms)| terms.starts_with(first)));
        }
    }

    #[test]
    fn a_term_belongs_to_the_row_that_begins_before_it() {
        let (db, _) = written(&[("d", 1)]);
        let mut row = Row::default();
        row.add("m", 1);
        row.write(&db, "a", 0).unwrap();
        let covering = |term, part| {
            let (row, next) = Row::covering(&db, "a", part, term).unwrap();
            (row.first, next)
        };
        let [d, m, none] = ["d", "m", ""].map(str::to_owned);
        assert_eq!(covering("a", 0), (d.clone(), Some(m.clone())));
        assert_eq!(covering("d", 0), (d.clone(), Some(m.clone())));
        assert_eq!(covering("l", 0), (d, Some(m.clone())));
        assert_eq!(covering("m", 0), (m.clone(), None));
        assert_eq!(covering("z", 0), (m, None));
        assert_eq!(covering("d", 1), (none, None));
    }
}
