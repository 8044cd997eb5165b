use throughline_core::{
    Position, TenantId,
    changes::{
        Change, ChangeScope, Changes, ConsumerCursor, ListQuarantined, QuarantinedChange, QuarantinedChanges,
        ReadChanges,
    },
    ids::ConsumerName,
};

use crate::rows::ConsumerRow;

/// Changes of the feed. `changes` are those after the cursor, in order; the store has emitted every change up to `reached`.
pub fn changes<'c>(
    read: &ReadChanges,
    tenant: &TenantId,
    changes: impl Iterator<Item = &'c Change>,
    reached: Position,
) -> Changes {
    let is_asked_for = |change: &&Change| match &read.scope {
        ChangeScope::Store => true,
        ChangeScope::Tenant => change.tenant == *tenant,
        ChangeScope::Thread(thread) => change.tenant == *tenant && change.thread == *thread,
    };
    let limit = read.limit as usize;
    let mut changes: Vec<Change> = changes.filter(is_asked_for).take(limit + 1).cloned().collect();
    let more = changes.len() > limit;
    changes.truncate(limit);
    let position = match changes.last() {
        Some(last) if more => last.position,
        _ => reached.max(read.after),
    };
    Changes { changes, position, more }
}

/// The cursor of a consumer that has quarantined so many changes.
#[must_use]
pub fn consumer_cursor(
    consumer: &ConsumerName,
    row: Option<&ConsumerRow>,
    quarantined: u64,
) -> ConsumerCursor {
    let position = row.map_or(Position::ZERO, |row| row.position);
    ConsumerCursor { consumer: consumer.clone(), position, quarantined }
}

/// Quarantined changes. `changes` are those behind the cursor, by position.
pub fn quarantined<'c>(
    list: &ListQuarantined,
    changes: impl Iterator<Item = &'c QuarantinedChange>,
) -> QuarantinedChanges {
    let limit = list.limit as usize;
    let mut changes: Vec<QuarantinedChange> = changes.take(limit + 1).cloned().collect();
    let more = changes.len() > limit;
    changes.truncate(limit);
    QuarantinedChanges { consumer: list.consumer.clone(), changes, more }
}
