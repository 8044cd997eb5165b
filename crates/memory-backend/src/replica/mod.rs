//! Replication: a primary returns its dirty set as row images, and a replica applies them.

mod capture;
mod put;
mod read;

use std::collections::BTreeMap;

use throughline_core::{
    PersistError, Position, Result, TenantId, Timestamp,
    audit::AuditNumber,
    backend::replication_rules::{self, ReplicaFacts},
    replication::{
        ApplyImages, BeginCapture, CaptureBegun, CaptureEnded, ImagesApplied, ReplicaArgs, ReplicaResult,
        ReplicationStatus,
    },
};
use throughline_engine::rows::ChangeEvent;

pub(crate) use self::capture::Capture;
use crate::store::Store;

impl Store {
    /// Applies an operation of replication. One with a change takes a position, and emits no change event.
    pub(crate) fn replicate(
        &mut self,
        args: ReplicaArgs,
        now: Timestamp,
    ) -> Result<(ReplicaResult, Option<Position>)> {
        self.check_open()?;
        let (result, changed) = match args {
            ReplicaArgs::Begin(begin) => (ReplicaResult::Begin(self.begin_capture(begin)), true),
            ReplicaArgs::End(_) => {
                let was_on = self.capture.take().is_some();
                (ReplicaResult::End(CaptureEnded { was_on }), was_on)
            }
            ReplicaArgs::SetState(take) => {
                let to = replication_rules::set_replication_state(self.replication_state, &take)?;
                if let Some(to) = to {
                    (self.replication_state, self.followed) =
                        (to, self.followed.filter(|_| !to.is_primary()));
                }
                (ReplicaResult::SetState(self.replication_status()), to.is_some())
            }
            ReplicaArgs::Apply(apply) => {
                let (applied, changed) = self.apply_images(apply)?;
                (ReplicaResult::Apply(applied), changed)
            }
            other => return Err(PersistError::unsupported(format_args!("`{}`", other.as_str()))),
        };
        if !changed {
            return Ok((result, None));
        }
        self.journal.emit([ChangeEvent { tenant: TenantId::default(), at: now, change: None }]);
        Ok((result, Some(self.journal.position)))
    }

    fn begin_capture(&mut self, begin: BeginCapture) -> CaptureBegun {
        if self.capture.is_none() {
            self.capture = Some(Capture::of(self));
        }
        let capture = self.capture.as_ref().expect("it was begun");
        let ends = if begin.whole {
            (Position::ZERO, AuditNumber::ZERO)
        } else {
            (self.journal.position, self.audit.last())
        };
        CaptureBegun { cursor: capture.begin(begin.whole, ends) }
    }

    fn apply_images(&mut self, apply: ApplyImages) -> Result<(ImagesApplied, bool)> {
        let present = ReplicaFacts {
            replication_state: self.replication_state,
            cursor: self.followed,
            is_empty: self.is_empty(),
            last_change: self.journal.last_change(),
        };
        let cursor = apply.to;
        if !replication_rules::may_apply(present, &apply)? {
            return Ok((ImagesApplied { cursor, already: true }, false));
        }
        self.put(apply.images)?;
        self.followed = Some(cursor);
        self.journal.kept_after = self.journal.kept_after.max(apply.kept_after);
        self.journal.position = self.journal.position.max(apply.position);
        Ok((ImagesApplied { cursor, already: false }, true))
    }

    pub(crate) fn replication_status(&self) -> ReplicationStatus {
        ReplicationStatus {
            replication_state: self.replication_state,
            cursor: self.followed,
            position: self.journal.position,
            is_empty: self.is_empty(),
        }
    }

    /// The position up to which every change was emitted. A replica also takes positions of its own, so that this is its last
    /// copied change.
    pub(crate) fn emitted(&self) -> Position {
        if self.replication_state.is_primary() { self.journal.position } else { self.journal.last_change() }
    }

    fn is_empty(&self) -> bool {
        self.tenants.values().all(BTreeMap::is_empty)
            && self.consumers.is_empty()
            && self.agents.is_empty()
            && self.runtimes.is_empty()
            && self.audit.last() == AuditNumber::ZERO
    }
}
