//! Verifies the file with SQLite's own checks, and the row of the store.

use std::collections::BTreeMap;

use rusqlite::OptionalExtension;

use super::{Check, Owner, Part};
use crate::{open::foreign_triggers, record::Columns as _, writer::Progress};

impl Check<'_> {
    /// Verifies the pages, the b-trees and the indexes.
    pub(super) fn pages(&mut self) -> rusqlite::Result<()> {
        // The default limit is a hundred errors.
        let mut statement = self.db.prepare("PRAGMA integrity_check(2147483647)")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let messages = String::from_utf8_lossy(row.text(0).unwrap_or_default()).into_owned();
            // SQLite returns all faults of a b-tree in one row, after a headline.
            let faults = messages.lines().filter(|line| *line != "ok" && !line.starts_with("***"));
            for message in faults {
                self.report(&Owner::default(), Part::File, message);
            }
        }
        Ok(())
    }

    /// Reports the triggers that change what a write stores.
    pub(super) fn triggers(&mut self) -> rusqlite::Result<()> {
        for trigger in foreign_triggers(self.db)? {
            let description =
                format!("the foreign trigger `{}` is on the table `{}`", trigger.name, trigger.table);
            self.report(&Owner::default(), Part::File, description);
        }
        Ok(())
    }

    /// Counts the rows with a missing parent: each is named where its table is verified.
    pub(super) fn references(&mut self) -> rusqlite::Result<()> {
        let mut broken = BTreeMap::<(String, String), u64>::new();
        {
            let mut statement = self.db.prepare("PRAGMA foreign_key_check")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                *broken.entry((row.get(0)?, row.get(2)?)).or_default() += 1;
            }
        }
        for ((table, parent), rows) in broken {
            let description =
                format!("{rows} rows of `{table}` refer to rows of `{parent}` that are not there");
            self.report(&Owner::default(), Part::File, description);
        }
        Ok(())
    }

    /// Verifies the row of the store.
    pub(super) fn store(&mut self) -> rusqlite::Result<()> {
        let read = self.db.query_row(Progress::SELECT, [], |row| Ok(Progress::of(row).ok().flatten()));
        self.position = read.optional()?.flatten().map(|progress| progress.position);
        if self.position.is_none() {
            self.report(&Owner::default(), Part::Store, "the position of the store is damaged");
        }
        Ok(())
    }
}
