//! The log of who did what.

use throughline_core::{
    AuditFrom, AuditNumber, AuditPage, ReadAudit, TenantId,
    audit::{AuditEntry, AuditLink},
};

#[derive(Default)]
pub(crate) struct AuditLog {
    entries: Vec<AuditEntry>,
}

impl AuditLog {
    /// Where the next entry goes.
    pub(crate) fn link(&self) -> AuditLink {
        self.entries.last().map_or_else(AuditLink::first, |last| AuditLink::after(last.number, last.hash))
    }

    pub(crate) fn extend(&mut self, entries: impl IntoIterator<Item = AuditEntry>) {
        self.entries.extend(entries);
    }

    pub(crate) fn read(&self, tenant: &TenantId, read: &ReadAudit) -> AuditPage {
        let limit = read.limit as usize;
        let shown = |entry: &AuditEntry| entry.clone().shown(&read.scope, tenant);
        let place =
            |number: AuditNumber| usize::try_from(number.get()).unwrap_or(usize::MAX).min(self.entries.len());
        let (mut entries, end): (Vec<AuditEntry>, AuditNumber) = match read.from {
            AuditFrom::After(number) => {
                let entries =
                    self.entries[place(number)..].iter().filter_map(shown).take(limit + 1).collect();
                let last = self.entries.last().map_or(AuditNumber::ZERO, |last| last.number);
                (entries, last.max(number))
            }
            AuditFrom::Before(_) | AuditFrom::End => {
                let before = match read.from {
                    AuditFrom::Before(number) => place(AuditNumber::new(number.get().saturating_sub(1))),
                    _ => self.entries.len(),
                };
                let entries = self.entries[..before].iter().rev().filter_map(shown).take(limit + 1).collect();
                (entries, AuditNumber::ZERO)
            }
        };
        let more = entries.len() > limit;
        entries.truncate(limit);
        let reached = match entries.last() {
            Some(last) if more => last.number,
            _ => end,
        };
        if !matches!(read.from, AuditFrom::After(_)) {
            entries.reverse();
        }
        AuditPage { entries, damaged: Vec::new(), reached, more }
    }
}
