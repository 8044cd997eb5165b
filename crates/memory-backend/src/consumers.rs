//! Reads of what consumers of the changes keep.

use std::collections::BTreeMap;
use std::ops::Bound;

use throughline_core::{
    ConsumerCursor, ConsumerName, ListQuarantined, Position, QuarantinedChange, QuarantinedChanges,
};
use throughline_engine::rows::ConsumerRow;

#[derive(Debug)]
pub(crate) struct Consumer {
    pub(crate) row: ConsumerRow,
    pub(crate) quarantined: BTreeMap<Position, QuarantinedChange>,
}

pub(crate) fn cursor(kept: Option<&Consumer>, consumer: &ConsumerName) -> ConsumerCursor {
    ConsumerCursor {
        consumer: consumer.clone(),
        position: kept.map_or(Position::ZERO, |kept| kept.row.position),
        quarantined: kept.map_or(0, |kept| kept.quarantined.len() as u64),
    }
}

pub(crate) fn quarantined(kept: Option<&Consumer>, list: &ListQuarantined) -> QuarantinedChanges {
    let limit = list.limit as usize;
    let after = (Bound::Excluded(list.after), Bound::Unbounded);
    let listed = kept.into_iter().flat_map(|kept| kept.quarantined.range(after));
    let mut changes: Vec<_> = listed.take(limit + 1).map(|(_, change)| change.clone()).collect();
    let more = changes.len() > limit;
    changes.truncate(limit);
    QuarantinedChanges { consumer: list.consumer.clone(), changes, more }
}
