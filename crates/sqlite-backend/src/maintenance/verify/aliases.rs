//! Verifies the provider aliases of messages.

use super::{
    Check, Owner, Part,
    walk::{Table, Visited},
};
use crate::record::{AliasRow, Columns as _, alias_columns};

const ALIASES: Table = Table {
    name: "aliases",
    rows: concat!(
        "SELECT 0, a.alias_pk, t.tenant, t.thread, a.thread_pk, ",
        alias_columns!(),
        " FROM aliases a LEFT JOIN threads t ON t.thread_pk = a.thread_pk \
         WHERE a.alias_pk >= ?1 ORDER BY a.alias_pk"
    ),
    next: "SELECT alias_pk FROM aliases WHERE alias_pk >= ?1 ORDER BY alias_pk LIMIT 1",
};
/// The columns of [`ALIASES`].
const OF: usize = 4;
const ALIAS: usize = 5;
const MESSAGE: usize = ALIAS + 7;

impl Check<'_> {
    /// Verifies every alias.
    pub(super) fn aliases(&mut self) -> rusqlite::Result<()> {
        self.walk(&ALIASES, |check, visited| {
            match visited {
                Visited::Row(row) => {
                    check.found.aliases += 1;
                    let is_whole = row.integer(OF).is_some_and(|of| AliasRow::read(row, ALIAS, of).is_some());
                    if !is_whole || row.is_null(2) {
                        let owner = Owner::read(row, 2).with_message(row, MESSAGE);
                        check.report(&owner, Part::Alias, "an alias of it is damaged");
                    }
                }
                Visited::Unreadable(number) => {
                    let description = format!("alias number {number} of a message cannot be read");
                    check.report(&Owner::default(), Part::Alias, description);
                }
                Visited::Lost(first, last) => check.lost(&ALIASES, first, last),
            }
            Ok(())
        })
    }
}
