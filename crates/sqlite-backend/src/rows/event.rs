//! Change events: the rows of `changes`.

use std::collections::HashSet;

use foldhash::fast::RandomState;
use throughline_core::{MessageId, ThreadId, changes::ChangeKind};
use throughline_engine::{
    StagedRows,
    rows::{ChangeEvent, ThreadKey},
};

use super::{Positions, Source};
use crate::{failure::Applied, record::ChangeRow};

/// Writes the change events, each at its position. Of several appends to one message only the last is written: a reader finds the
/// content of all of them.
pub(super) fn write(source: &mut Source<'_>, staged: &StagedRows, at: &Positions) -> Applied<()> {
    let mut insert = ChangeRow::statement(source.db)?;
    let obsolete = obsolete_appends(staged.events.items());
    for (index, event) in staged.events.items().iter().enumerate() {
        let Some((thread, change_kind)) = &event.change else { continue };
        if obsolete.contains(&index) {
            continue;
        }
        let thread_pk = source.thread_pk(&ThreadKey::new(&event.tenant, thread))?;
        if let Some(row) = ChangeRow::new(at.event(index), thread_pk, event.at.as_micros(), change_kind) {
            row.insert(&mut insert)?;
        }
    }
    Ok(())
}

/// The appends after which the transaction appends to the same message again.
fn obsolete_appends(events: &[ChangeEvent]) -> HashSet<usize, RandomState> {
    let mut seen: HashSet<(&str, &ThreadId, &MessageId), RandomState> = HashSet::default();
    let appends = events.iter().enumerate().rev().filter_map(|(index, event)| match &event.change {
        Some((thread, ChangeKind::Written(message))) => {
            Some((index, (event.tenant.as_str(), thread, &message.id)))
        }
        _ => None,
    });
    appends.filter(|(_, message)| !seen.insert(*message)).map(|(index, _)| index).collect()
}
