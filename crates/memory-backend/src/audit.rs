//! The log of who did what.

use throughline_core::{
    AuditFrom, AuditNumber, AuditPage, Position, ReadAudit, TenantId,
    audit::{AuditEntry, AuditLink},
    backend::{AnswerBytes, EstimatedSize as _},
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

    /// The number of the last one.
    pub(crate) fn last(&self) -> AuditNumber {
        self.entries.last().map_or(AuditNumber::ZERO, |last| last.number)
    }

    /// Those behind a number.
    pub(crate) fn after(&self, number: AuditNumber) -> &[AuditEntry] {
        &self.entries[self.place(number)..]
    }

    /// Takes an entry over from the log of another store. What is there already stays: the log is only ever added to.
    pub(crate) fn carry(&mut self, entry: AuditEntry) {
        if entry.number > self.last() {
            self.entries.push(entry);
        }
    }

    /// How many there are up to a number. One that could not be carried is missing.
    fn place(&self, number: AuditNumber) -> usize {
        self.entries.partition_point(|entry| entry.number <= number)
    }

    pub(crate) fn extend(&mut self, entries: impl IntoIterator<Item = AuditEntry>) {
        self.entries.extend(entries);
    }

    pub(crate) fn read(&self, tenant: &TenantId, read: &ReadAudit, position: Position) -> AuditPage {
        let limit = read.limit as usize;
        let mut bytes = AnswerBytes::new(read.max_bytes);
        let shown = |entry: &AuditEntry| entry.clone().shown(&read.scope, tenant);
        let fits = |entry: &AuditEntry| bytes.take(entry.estimated_size());
        let (mut entries, end): (Vec<AuditEntry>, AuditNumber) = match read.from {
            AuditFrom::After(number) => {
                let entries =
                    self.after(number).iter().filter_map(shown).take(limit + 1).take_while(fits).collect();
                (entries, self.last().max(number))
            }
            AuditFrom::Before(_) | AuditFrom::End => {
                let before = match read.from {
                    AuditFrom::Before(number) => self.place(AuditNumber::new(number.get().saturating_sub(1))),
                    _ => self.entries.len(),
                };
                let newest_first = self.entries[..before].iter().rev();
                let entries = newest_first.filter_map(shown).take(limit + 1).take_while(fits).collect();
                (entries, AuditNumber::ZERO)
            }
        };
        let more = entries.len() > limit || bytes.is_full();
        entries.truncate(limit);
        let reached = match entries.last() {
            Some(last) if more => last.number,
            _ => end,
        };
        if !matches!(read.from, AuditFrom::After(_)) {
            entries.reverse();
        }
        AuditPage { entries, damaged: Vec::new(), reached, more, written: self.last(), position }
    }
}
