//! Verifies the cursors and the quarantine of consumers.

use super::{Check, Owner, Part, text, walk::Table};
use crate::record::{Columns as _, Cursor, QuarantineRow, cursor_columns, quarantine_columns};

const CURSORS: Table = Table {
    name: "consumers",
    key: "consumer_pk",
    part: Part::Consumer,
    rows: concat!(
        "SELECT 0, k.consumer_pk, k.tenant, k.consumer, ",
        cursor_columns!(),
        " FROM consumers k WHERE k.consumer_pk >= ?1 ORDER BY k.consumer_pk"
    ),
};
/// The first column of a cursor in [`CURSORS`].
const CURSOR: usize = 4;

const QUARANTINE: Table = Table {
    name: "quarantine",
    key: "quarantine_pk",
    part: Part::Consumer,
    rows: concat!(
        "SELECT 0, q.quarantine_pk, k.tenant, q.thread, q.consumer_pk, ",
        quarantine_columns!(),
        " FROM quarantine q LEFT JOIN consumers k ON k.consumer_pk = q.consumer_pk \
         WHERE q.quarantine_pk >= ?1 ORDER BY q.quarantine_pk"
    ),
};
/// The columns of [`QUARANTINE`].
const OF: usize = 4;
const QUARANTINED: usize = 5;

impl Check<'_> {
    /// Verifies every cursor.
    pub(super) fn cursors(&mut self) -> rusqlite::Result<()> {
        self.walk(&CURSORS, |check, row| {
            check.found.consumers += 1;
            let (tenant, consumer) = (text(row, 2), text(row, 3));
            let cursor = tenant
                .zip(consumer)
                .and_then(|(tenant, consumer)| Cursor::read(row, CURSOR, tenant, consumer));
            if cursor.is_none_or(|cursor| cursor.position < 0) {
                let description =
                    format!("the cursor of the consumer `{}` is damaged", consumer.unwrap_or("?"));
                check.report(&Owner::of_tenant(row, 2), Part::Consumer, description);
            }
        })
    }

    /// Verifies every quarantined change.
    pub(super) fn quarantine(&mut self) -> rusqlite::Result<()> {
        self.walk(&QUARANTINE, |check, row| {
            let is_whole =
                row.integer(OF).is_some_and(|of| QuarantineRow::read(row, QUARANTINED, of).is_some());
            if !is_whole || row.is_null(2) {
                let position = row.integer(QUARANTINED).unwrap_or_default();
                let description = format!("the quarantined change at position {position} is damaged");
                check.report(&Owner::read(row, 2), Part::Consumer, description);
            }
        })
    }
}
