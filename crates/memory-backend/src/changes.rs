//! What was changed, in the order of the commits.

use std::collections::VecDeque;

use throughline_core::{
    Position, Result, TenantId,
    backend::rules,
    changes::{Change, Changes, ReadChanges},
};
use throughline_engine::{read as engine_read, rows::ChangeEvent};

/// How many changes are kept.
const KEPT: usize = 1_000_000;

#[derive(Default)]
pub(crate) struct Journal {
    /// The position that the store has come to.
    pub(crate) position: Position,
    /// The last change that is not kept any more.
    pub(crate) kept_after: Position,
    changes: VecDeque<Change>,
}

impl Journal {
    /// Records change events, each at a position of its own.
    pub(crate) fn emit(&mut self, events: impl IntoIterator<Item = ChangeEvent>) {
        for ChangeEvent { tenant, at, change } in events {
            self.position = self.position.next();
            let Some((thread, kind)) = change else { continue };
            self.changes.push_back(Change { position: self.position, tenant, thread, at, what: kind });
        }
        while self.changes.len() > KEPT {
            self.kept_after = self.changes.pop_front().map_or(self.kept_after, |change| change.position);
        }
    }

    /// The position of the last change that is kept.
    pub(crate) fn last_change(&self) -> Position {
        self.changes.back().map_or(self.kept_after, |change| change.position)
    }

    /// Records a change of the primary, at the position that it has there.
    pub(crate) fn append_copied(&mut self, change: Change) {
        if change.position > self.last_change() {
            self.position = self.position.max(change.position);
            self.changes.push_back(change);
        }
    }

    /// Every change after a position.
    pub(crate) fn after(&self, after: Position) -> impl Iterator<Item = &Change> {
        let begin = self.changes.partition_point(|change| change.position <= after);
        self.changes.range(begin..)
    }

    /// Reads changes of a store that has emitted every change up to `reached`; `is_primary` says whether it is a primary.
    pub(crate) fn read(
        &self,
        tenant: &TenantId,
        read: &ReadChanges,
        (reached, is_primary): (Position, bool),
    ) -> Result<Changes> {
        rules::check_after(read.after, self.kept_after, is_primary.then_some(self.position))?;
        Ok(engine_read::changes(read, tenant, self.after(read.after), reached))
    }
}
