//! The audit log.

use throughline_core::{
    Position, TenantId,
    audit::{AuditEntry, AuditFrom, AuditLink, AuditNumber, AuditPage, ReadAudit},
};
use throughline_engine::read as engine_read;

#[derive(Default)]
pub(crate) struct AuditLog {
    entries: Vec<AuditEntry>,
}

impl AuditLog {
    /// Returns the link from the last entry to the next one.
    pub(crate) fn link(&self) -> AuditLink {
        self.entries.last().map_or_else(AuditLink::first, |last| AuditLink::after(last.number, last.hash))
    }

    pub(crate) fn last(&self) -> AuditNumber {
        self.entries.last().map_or(AuditNumber::ZERO, |last| last.number)
    }

    pub(crate) fn after(&self, number: AuditNumber) -> &[AuditEntry] {
        &self.entries[self.count_up_to(number)..]
    }

    /// Appends an entry of the primary's log. An existing entry with the number remains.
    pub(crate) fn append_copied(&mut self, entry: AuditEntry) {
        if entry.number > self.last() {
            self.entries.push(entry);
        }
    }

    /// The number of entries up to a number. An entry that could not be copied is missing.
    fn count_up_to(&self, number: AuditNumber) -> usize {
        self.entries.partition_point(|entry| entry.number <= number)
    }

    pub(crate) fn extend(&mut self, entries: impl IntoIterator<Item = AuditEntry>) {
        self.entries.extend(entries);
    }

    pub(crate) fn read(&self, tenant: &TenantId, read: &ReadAudit, position: Position) -> AuditPage {
        let (written, entries) = (self.last(), &self.entries);
        match read.from {
            AuditFrom::After(number) => {
                engine_read::audit(read, tenant, self.after(number).iter(), written, position)
            }
            AuditFrom::Before(number) => {
                let before = self.count_up_to(AuditNumber::new(number.get().saturating_sub(1)));
                engine_read::audit(read, tenant, entries[..before].iter().rev(), written, position)
            }
            AuditFrom::End => engine_read::audit(read, tenant, entries.iter().rev(), written, position),
        }
    }
}
