//! The file as SQLite sees it, and the row of the store.

use std::collections::BTreeMap;

use rusqlite::OptionalExtension;

use super::{Check, Owner, Part};
use crate::{open::foreign_triggers, record::Columns as _, writer::Progress};

impl Check<'_> {
    /// The pages, the trees and the indexes.
    pub(super) fn pages(&mut self) -> rusqlite::Result<()> {
        // SQLite would stop at the hundredth.
        let mut statement = self.db.prepare("PRAGMA integrity_check(2147483647)")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let messages = String::from_utf8_lossy(row.text(0).unwrap_or_default()).into_owned();
            // What concerns a tree comes in one row, under a headline.
            let faults = messages.lines().filter(|line| *line != "ok" && !line.starts_with("***"));
            for message in faults {
                self.report(&Owner::default(), Part::File, message);
            }
        }
        Ok(())
    }

    /// The triggers that change what writes store.
    pub(super) fn triggers(&mut self) -> rusqlite::Result<()> {
        for trigger in foreign_triggers(self.db)? {
            let description =
                format!("the foreign trigger `{}` is on the table `{}`", trigger.name, trigger.table);
            self.report(&Owner::default(), Part::File, description);
        }
        Ok(())
    }

    /// The rows that refer to one that is not there, counted: each is named where its table is checked.
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

    /// The row of the store: how far it has come.
    pub(super) fn store(&mut self) -> rusqlite::Result<()> {
        let read = self.db.query_row(Progress::SELECT, [], |row| Ok(Progress::of(row).ok().flatten()));
        self.position = read.optional()?.flatten().map(|progress| progress.position);
        if self.position.is_none() {
            self.report(&Owner::default(), Part::Store, "the position of the store is damaged");
        }
        Ok(())
    }
}
