//! Walks a table row by row, and continues after rows that cannot be read.

use rusqlite::{OptionalExtension, Row, ffi};

use super::{Check, Owner, Part, is_damage};
use crate::record::Columns as _;

/// A table, and the query for a walk over it.
pub(super) struct Table {
    pub(super) name: &'static str,
    /// The column of the integer key.
    pub(super) key: &'static str,
    /// The part of the store that its rows are.
    pub(super) part: Part,
    /// Selects the rows from the key `?1` on, in the order of the key, which is in column 1.
    pub(super) rows: &'static str,
}

/// An element of the walk.
pub(super) enum Visited<'a> {
    Row(&'a Row<'a>),
    Gap(Gap),
}

/// Rows that cannot be read: the row with the last key, or all rows from the first key up to it. Not even the number of
/// those is known.
pub(super) struct Gap {
    pub(super) first: Option<i64>,
    pub(super) last: i64,
}

impl Check<'_> {
    /// Calls `visit` for every row of the table, one at a time, and reports the rows that cannot be read.
    pub(super) fn walk(
        &mut self,
        table: &Table,
        mut visit: impl FnMut(&mut Self, &Row<'_>),
    ) -> rusqlite::Result<()> {
        self.walk_gaps(table, |check, visited| {
            match visited {
                Visited::Row(row) => visit(check, row),
                Visited::Gap(gap) => check.report_gap(table, gap),
            }
            Ok(())
        })
    }

    pub(super) fn report_gap(&mut self, table: &Table, Gap { first, last }: Gap) {
        let name = table.name;
        let (part, rows) = match first.map(|first| first.max(0)) {
            None => (table.part, format!("row {last} of `{name}`, or a row that belongs to it,")),
            Some(first) if last == i64::MAX => {
                (Part::File, format!("the rows of `{name}` from number {first} on"))
            }
            Some(first) => (Part::File, format!("the rows of `{name}` from number {first} to {last}")),
        };
        self.report(&Owner::default(), part, format!("{rows} cannot be read"));
    }

    /// Calls `visit` for every row of the table, one at a time, and for the gaps between them.
    ///
    /// A page that cannot be read ends a statement. The walk starts another one after it, where the b-tree can be
    /// entered again: it skips no readable row. The keys only ever grow, regardless of a damaged tree, so the walk
    /// ends.
    pub(super) fn walk_gaps(
        &mut self,
        table: &Table,
        mut visit: impl FnMut(&mut Self, Visited<'_>) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        let mut from = i64::MIN;
        loop {
            let error = match self.walk_on(table, &mut from, &mut visit) {
                Ok(()) => return Ok(()),
                Err(error) if is_damage(&error) => error,
                Err(error) => return Err(error),
            };
            let gap = match self.next_key(table, from) {
                Ok(Some(key)) => Gap { first: None, last: key },
                // The rows fail and the keys do not: the fault is in the schema.
                Ok(None) => return Err(error),
                Err(error) if is_damage(&error) => {
                    Gap { first: Some(from), last: self.end_of_loss(table, from)? }
                }
                Err(error) => return Err(error),
            };
            let last = gap.last;
            visit(self, Visited::Gap(gap))?;
            let Some(next) = last.checked_add(1) else { return Ok(()) };
            from = next;
        }
    }

    fn walk_on(
        &mut self,
        table: &Table,
        from: &mut i64,
        visit: &mut impl FnMut(&mut Self, Visited<'_>) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        let mut statement = self.db.prepare(table.rows)?;
        let mut rows = statement.query([*from])?;
        while let Some(row) = rows.next()? {
            let key = row.integer(1).unwrap_or(*from);
            if key < *from {
                return Err(out_of_order());
            }
            *from = key.saturating_add(1);
            visit(self, Visited::Row(row))?;
        }
        Ok(())
    }

    fn next_key(&self, table: &Table, from: i64) -> rusqlite::Result<Option<i64>> {
        let Table { name, key, .. } = table;
        let sql = format!("SELECT {key} FROM {name} WHERE {key} >= ?1 ORDER BY {key} LIMIT 1");
        let next = self.db.prepare_cached(&sql)?.query_row([from], |row| row.get(0)).optional()?;
        if next.is_some_and(|key| key < from) { Err(out_of_order()) } else { Ok(next) }
    }

    /// Returns the last key from `from` on at which the b-tree cannot be entered. The number of attempts is the number
    /// of bits of its distance.
    fn end_of_loss(&self, table: &Table, from: i64) -> rusqlite::Result<i64> {
        let is_lost = |key| match self.next_key(table, key) {
            Ok(_) => Ok(false),
            Err(error) if is_damage(&error) => Ok(true),
            Err(error) => Err(error),
        };
        // The keys of rows begin with 1: there is nothing to search before.
        let from = from.max(0);
        let (mut lost, mut step) = (from, 1_i64);
        let mut found = loop {
            let Some(key) = from.checked_add(step) else { return Ok(i64::MAX) };
            if !is_lost(key)? {
                break key;
            }
            lost = key;
            let Some(further) = step.checked_mul(2) else { return Ok(i64::MAX) };
            step = further;
        };
        while found - lost > 1 {
            let middle = lost + (found - lost) / 2;
            if is_lost(middle)? {
                lost = middle;
            } else {
                found = middle;
            }
        }
        Ok(lost)
    }
}

fn out_of_order() -> rusqlite::Error {
    let text = "the keys of a table are out of order".to_owned();
    rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CORRUPT), Some(text))
}
