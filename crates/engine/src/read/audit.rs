use throughline_core::{
    Position, TenantId,
    audit::{AuditEntry, AuditFrom, AuditNumber, AuditPage, ReadAudit},
    backend::{AnswerBytes, EstimatedSize as _},
};

/// A page of the audit log. `entries` are those from the cursor on, in the direction of the read; `written` is the last number.
pub fn audit<'e>(
    read: &ReadAudit,
    tenant: &TenantId,
    entries: impl Iterator<Item = &'e AuditEntry>,
    written: AuditNumber,
    position: Position,
) -> AuditPage {
    let limit = read.limit as usize;
    let mut bytes = AnswerBytes::new(read.max_bytes);
    let shown = entries.filter_map(|entry| entry.clone().shown(&read.scope, tenant)).take(limit + 1);
    let mut entries: Vec<AuditEntry> = shown.take_while(|entry| bytes.take(entry.estimated_size())).collect();
    let more = entries.len() > limit || bytes.is_full();
    entries.truncate(limit);
    let end = match read.from {
        AuditFrom::After(number) => written.max(number),
        _ => AuditNumber::ZERO,
    };
    let reached = entries.last().filter(|_| more).map_or(end, |last| last.number);
    if !matches!(read.from, AuditFrom::After(_)) {
        entries.reverse();
    }
    AuditPage { entries, damaged: Vec::new(), reached, more, written, position }
}
