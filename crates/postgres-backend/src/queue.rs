//! Writes that wait for a writer.

use std::time::Instant;

use throughline_core::{
    Effect, ErrorKind, Idempotency, PersistArgs, PersistError, PersistResult, Position, Result, TenantId,
    Timestamp,
    audit::{PendingAuditEntry, RejectedCallRecords},
    backend::QueuePermit,
    messages::Batch,
};
use throughline_engine as engine;
use tokio::sync::oneshot;

/// A write as plain data: no code of the caller runs while it is applied.
#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) tenant: TenantId,
    pub(crate) args: PersistArgs,
    pub(crate) idempotency: Option<Idempotency>,
    pub(crate) now: Timestamp,
    pub(crate) audit: Audit,
}

/// The audit records that a write commits.
#[derive(Debug)]
pub(crate) enum Audit {
    Nothing,
    /// The audit record of the write itself, in the same commit.
    Entry(PendingAuditEntry),
    /// Records of rejected calls. Their write is an empty batch without any other effect.
    RejectedCalls(RejectedCallRecords),
}

impl From<Option<PendingAuditEntry>> for Audit {
    fn from(entry: Option<PendingAuditEntry>) -> Self {
        entry.map_or(Self::Nothing, Self::Entry)
    }
}

impl Write {
    /// Creates the write of rejected-call records.
    pub(crate) fn of_rejected_calls(records: RejectedCallRecords, now: Timestamp) -> Self {
        let (tenant, args) = (records.tenant(), Batch::new().into());
        Self { tenant, args, idempotency: None, now, audit: Audit::RejectedCalls(records) }
    }

    /// Returns the tenants whose rows the write may change.
    pub(crate) fn tenants(&self) -> impl Iterator<Item = &TenantId> {
        let tenants = match &self.audit {
            Audit::RejectedCalls(records) => Some(records.tenants()),
            Audit::Nothing | Audit::Entry(_) => None,
        };
        [&self.tenant].into_iter().chain(tenants.into_iter().flatten())
    }

    /// Returns the part of the write that the engine decides.
    pub(crate) const fn decided(&self) -> engine::Write<'_> {
        engine::Write {
            tenant: &self.tenant,
            args: &self.args,
            idempotency: self.idempotency.as_ref(),
            now: self.now,
        }
    }

    pub(crate) const fn has_rejected_calls(&self) -> bool {
        matches!(self.audit, Audit::RejectedCalls(_))
    }
}

/// The result of a committed write.
#[derive(Debug)]
pub(crate) struct Committed {
    pub(crate) result: PersistResult,
    /// `None` if the write changed nothing.
    pub(crate) position: Option<Position>,
}

/// An admitted write and the channel to its caller. It is answered exactly once: if it is dropped without an
/// answer, the drop answers with the effect that is known.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) write: Write,
    /// The instant at which the write times out.
    pub(crate) wait_until: Instant,
    pub(crate) bytes: usize,
    /// Whether `COMMIT` was sent for a transaction that contains the write.
    pub(crate) committing: bool,
    reply: Option<Reply>,
}

/// The channel to the caller, and the permit, which is released with the answer.
#[derive(Debug)]
struct Reply {
    answer: oneshot::Sender<Result<Committed>>,
    slot: QueuePermit,
}

impl Pending {
    pub(crate) fn new(
        write: Write,
        wait_until: Instant,
        bytes: usize,
        slot: QueuePermit,
    ) -> (Self, oneshot::Receiver<Result<Committed>>) {
        let (answer, receiver) = oneshot::channel();
        let reply = Some(Reply { answer, slot });
        (Self { write, wait_until, bytes, committing: false, reply }, receiver)
    }

    /// Returns whether the caller no longer waits.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.reply.as_ref().is_none_or(|reply| reply.answer.is_closed())
    }

    pub(crate) fn answer(mut self, answer: Result<Committed>) {
        if let Some(reply) = self.reply.take() {
            reply.send(answer);
        }
    }
}

impl Reply {
    /// Sends the answer. If the caller no longer waits, the write counts nevertheless.
    fn send(self, answer: Result<Committed>) {
        let Self { answer: caller, slot } = self;
        // The permit is released first, so that the caller can use it for its next call.
        drop(slot);
        drop(caller.send(answer));
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(reply) = self.reply.take() {
            let effect = if self.committing { Effect::Unknown } else { Effect::NotApplied };
            let error = PersistError::new(ErrorKind::Unavailable, "the writer of the store was lost");
            reply.send(Err(error.with_effect(effect)));
        }
    }
}
