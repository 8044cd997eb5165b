//! What consumers of the changes keep of themselves.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use throughline_core::{
    ChangeQuarantined, ChangeReleased, ConsumerArgs, ConsumerCursor, ConsumerName, ConsumerResult,
    CursorMoved, ListQuarantined, PersistError, Position, QuarantinedChange, QuarantinedChanges, Result,
    TenantId, Timestamp, backend::rules, replica::ConsumerImage,
};

#[derive(Default)]
pub(crate) struct Consumers {
    kept: HashMap<(TenantId, ConsumerName), Kept>,
}

/// What one consumer of a tenant keeps.
#[derive(Default)]
struct Kept {
    cursor: Position,
    quarantined: BTreeMap<Position, QuarantinedChange>,
}

impl Consumers {
    /// Applies one operation, and says whether it changed anything.
    pub(crate) fn apply(
        &mut self,
        tenant: &TenantId,
        args: ConsumerArgs,
        now: Timestamp,
    ) -> Result<(ConsumerResult, bool)> {
        let name = args.consumer().clone();
        let kept = self.kept.entry((tenant.clone(), name)).or_default();
        Ok(match args {
            ConsumerArgs::MoveCursor(moved) => {
                let before = kept.cursor;
                kept.cursor = rules::move_cursor(before, moved.to, moved.expected)?;
                let answer = CursorMoved { consumer: moved.consumer, position: kept.cursor };
                (ConsumerResult::MoveCursor(answer), kept.cursor != before)
            }
            ConsumerArgs::ResetCursor(reset) => {
                kept.cursor = reset.to;
                // What comes after is told again.
                kept.quarantined.retain(|at, _| *at <= reset.to);
                let answer = CursorMoved { consumer: reset.consumer, position: kept.cursor };
                (ConsumerResult::ResetCursor(answer), true)
            }
            ConsumerArgs::Quarantine(change) => {
                let (position, thread, why) = (change.position, change.thread, change.why);
                kept.quarantined.insert(position, QuarantinedChange { position, thread, at: now, why });
                let answer = ChangeQuarantined { consumer: change.consumer, position };
                (ConsumerResult::Quarantine(answer), true)
            }
            ConsumerArgs::Release(change) => {
                let was_listed = kept.quarantined.remove(&change.position).is_some();
                let (consumer, position) = (change.consumer, change.position);
                (ConsumerResult::Release(ChangeReleased { consumer, position, was_listed }), was_listed)
            }
            other => {
                let what = format_args!("the operation `{}` of a consumer", other.as_str());
                return Err(PersistError::unsupported(what));
            }
        })
    }

    /// Everything that one consumer keeps.
    pub(crate) fn image(&self, tenant: &TenantId, consumer: &ConsumerName) -> Option<ConsumerImage> {
        let kept = self.kept.get(&(tenant.clone(), consumer.clone()))?;
        let quarantined = kept.quarantined.values().cloned().collect();
        Some(ConsumerImage { consumer: consumer.clone(), position: kept.cursor, quarantined })
    }

    /// Keeps what another store keeps of a consumer.
    pub(crate) fn put(&mut self, tenant: &TenantId, image: ConsumerImage) {
        let ConsumerImage { consumer, position, quarantined } = image;
        let quarantined = quarantined.into_iter().map(|change| (change.position, change)).collect();
        self.kept.insert((tenant.clone(), consumer), Kept { cursor: position, quarantined });
    }

    /// Every consumer.
    pub(crate) fn all(&self) -> impl Iterator<Item = &(TenantId, ConsumerName)> {
        self.kept.keys()
    }

    pub(crate) fn cursor(&self, tenant: &TenantId, consumer: &ConsumerName) -> ConsumerCursor {
        let kept = self.kept.get(&(tenant.clone(), consumer.clone()));
        ConsumerCursor {
            consumer: consumer.clone(),
            position: kept.map_or(Position::ZERO, |kept| kept.cursor),
            quarantined: kept.map_or(0, |kept| kept.quarantined.len() as u64),
        }
    }

    pub(crate) fn quarantined(&self, tenant: &TenantId, list: &ListQuarantined) -> QuarantinedChanges {
        let limit = list.limit as usize;
        let mut changes: Vec<QuarantinedChange> = self
            .kept
            .get(&(tenant.clone(), list.consumer.clone()))
            .into_iter()
            .flat_map(|kept| kept.quarantined.range((Bound::Excluded(list.after), Bound::Unbounded)))
            .take(limit + 1)
            .map(|(_, change)| change.clone())
            .collect();
        let more = changes.len() > limit;
        changes.truncate(limit);
        QuarantinedChanges { consumer: list.consumer.clone(), changes, more }
    }
}
