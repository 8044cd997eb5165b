//! Verifies the provider aliases of messages.

use super::{Check, Owner, Part, walk::Table};
use crate::record::{AliasRow, Columns as _, alias_columns};

const ALIASES: Table = Table {
    name: "aliases",
    key: "alias_pk",
    part: Part::Alias,
    rows: concat!(
        "SELECT 0, a.alias_pk, t.tenant, t.thread, a.thread_pk, ",
        alias_columns!(),
        " FROM aliases a LEFT JOIN threads t ON t.thread_pk = a.thread_pk \
         WHERE a.alias_pk >= ?1 ORDER BY a.alias_pk"
    ),
};
/// The columns of [`ALIASES`].
const OF: usize = 4;
const ALIAS: usize = 5;
const MESSAGE: usize = ALIAS + 7;

impl Check<'_> {
    /// Verifies every alias.
    pub(super) fn aliases(&mut self) -> rusqlite::Result<()> {
        self.walk(&ALIASES, |check, row| {
            check.found.aliases += 1;
            let is_whole = row.integer(OF).is_some_and(|of| AliasRow::read(row, ALIAS, of).is_some());
            if !is_whole || row.is_null(2) {
                let owner = Owner::read(row, 2).with_message(row, MESSAGE);
                check.report(&owner, Part::Alias, "an alias of it is damaged");
            }
        })
    }
}
