//! The change feed.

use std::collections::VecDeque;

use throughline_core::{
    Position, Result, TenantId,
    backend::rules,
    changes::{Change, Changes, ReadChanges},
};
use throughline_engine::{read as engine_read, rows::ChangeEvent};

/// The number of changes that the store keeps.
const KEPT: usize = 1_000_000;

#[derive(Default)]
pub(crate) struct Journal {
    pub(crate) position: Position,
    /// The last change that the store no longer keeps.
    pub(crate) kept_after: Position,
    changes: VecDeque<Change>,
}

impl Journal {
    /// Records change events, each with its own position.
    pub(crate) fn emit(&mut self, events: impl IntoIterator<Item = ChangeEvent>) {
        for ChangeEvent { tenant, at, change } in events {
            self.position = self.position.next();
            let Some((thread, kind)) = change else { continue };
            self.changes.push_back(Change { position: self.position, tenant, thread, at, kind });
        }
        while self.changes.len() > KEPT {
            self.kept_after = self.changes.pop_front().map_or(self.kept_after, |change| change.position);
        }
    }

    pub(crate) fn last_change(&self) -> Position {
        self.changes.back().map_or(self.kept_after, |change| change.position)
    }

    /// Records a change of the primary, with its position there.
    pub(crate) fn append_copied(&mut self, change: Change) {
        if change.position > self.last_change() {
            self.position = self.position.max(change.position);
            self.changes.push_back(change);
        }
    }

    pub(crate) fn after(&self, after: Position) -> impl Iterator<Item = &Change> {
        let begin = self.changes.partition_point(|change| change.position <= after);
        self.changes.range(begin..)
    }

    /// Reads changes. The store has emitted every change up to `reached`; `is_primary` states its role.
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
