//! Verifies the audit log as far as possible without its key: each row is readable and unchanged, and none is missing.

use super::{
    Check, Owner, Part,
    walk::{Table, Visited},
};
use crate::record::{AuditRow, Columns as _, audit_columns};

const AUDIT: Table = Table {
    name: "audit",
    key: "number",
    part: Part::Audit,
    rows: concat!(
        "SELECT 0, l.number, l.tenant, l.thread, ",
        audit_columns!(),
        " FROM audit l WHERE l.number >= ?1 ORDER BY l.number"
    ),
};
/// The first column of a record in [`AUDIT`].
const ENTRY: usize = 4;

impl Check<'_> {
    /// Verifies every audit record.
    pub(super) fn audit(&mut self) -> rusqlite::Result<()> {
        let mut last = 0;
        self.walk_gaps(&AUDIT, |check, visited| {
            match visited {
                Visited::Row(row) => {
                    check.found.audit += 1;
                    let number = row.integer(1).unwrap_or_default();
                    if number != last + 1 {
                        let description = format!("the audit log goes on at {number} after {last}");
                        check.report(&Owner::default(), Part::Audit, description);
                    }
                    last = number;
                    if !AuditRow::is_whole(row, ENTRY) {
                        let description = format!("entry {number} of the audit log is damaged");
                        check.report(&Owner::read(row, 2), Part::Audit, description);
                    }
                }
                Visited::Gap(gap) => {
                    last = gap.last;
                    check.report_gap(&AUDIT, gap);
                }
            }
            Ok(())
        })?;
        let (written, is_last): (i64, bool) = self.db.query_row(
            "SELECT audit, audit_hash IS coalesce((SELECT hash FROM audit ORDER BY number DESC LIMIT 1), zeroblob(32)) \
             FROM store",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        if written != last {
            let description =
                format!("the audit log ends at {last}, and the store has written {written} entries");
            self.report(&Owner::default(), Part::Audit, description);
        } else if !is_last {
            self.report(
                &Owner::default(),
                Part::Audit,
                "the hash of the last entry in the row of the store is damaged",
            );
        }
        Ok(())
    }
}
