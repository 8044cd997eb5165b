//! What waits for a writer.

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

/// A write as plain data: nothing of the caller's runs while it is applied.
#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) tenant: TenantId,
    pub(crate) args: PersistArgs,
    pub(crate) idempotency: Option<Idempotency>,
    pub(crate) now: Timestamp,
    pub(crate) audit: Audit,
}

/// What the log of who did what is to say with a write.
#[derive(Debug)]
pub(crate) enum Audit {
    Nothing,
    /// An entry of the write itself, in its commit.
    Entry(PendingAuditEntry),
    /// Entries about what was not applied. The write that brings them is an empty batch, and does nothing else.
    Notes(RejectedCallRecords),
}

impl From<Option<PendingAuditEntry>> for Audit {
    fn from(ticket: Option<PendingAuditEntry>) -> Self {
        ticket.map_or(Self::Nothing, Self::Entry)
    }
}

impl Write {
    /// One that brings notes.
    pub(crate) fn of_notes(notes: RejectedCallRecords, now: Timestamp) -> Self {
        let (tenant, args) = (notes.tenant(), Batch::new().into());
        Self { tenant, args, idempotency: None, now, audit: Audit::Notes(notes) }
    }

    /// Whose rows it may touch.
    pub(crate) fn tenants(&self) -> impl Iterator<Item = &TenantId> {
        let noted = match &self.audit {
            Audit::Notes(notes) => Some(notes.tenants()),
            Audit::Nothing | Audit::Entry(_) => None,
        };
        [&self.tenant].into_iter().chain(noted.into_iter().flatten())
    }

    /// What the engine decides.
    pub(crate) const fn decided(&self) -> engine::Write<'_> {
        engine::Write {
            tenant: &self.tenant,
            args: &self.args,
            idempotency: self.idempotency.as_ref(),
            now: self.now,
        }
    }

    pub(crate) const fn brings_notes(&self) -> bool {
        matches!(self.audit, Audit::Notes(_))
    }
}

/// What a write came to.
#[derive(Debug)]
pub(crate) struct Committed {
    pub(crate) result: PersistResult,
    /// Nothing for what changed nothing.
    pub(crate) position: Option<Position>,
}

/// A write that was admitted, and whoever waits for it. It is answered once, on every path: dropped without an answer, it says
/// what is known.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) write: Write,
    /// Until when it waits.
    pub(crate) give_up: Instant,
    pub(crate) bytes: usize,
    /// `COMMIT` was sent of a transaction that it is in.
    pub(crate) committing: bool,
    reply: Option<Reply>,
}

/// The way back to a caller, and the place in the queue, given up with the answer.
#[derive(Debug)]
struct Reply {
    answer: oneshot::Sender<Result<Committed>>,
    slot: QueuePermit,
}

impl Pending {
    pub(crate) fn new(
        write: Write,
        give_up: Instant,
        bytes: usize,
        slot: QueuePermit,
    ) -> (Self, oneshot::Receiver<Result<Committed>>) {
        let (answer, receiver) = oneshot::channel();
        let reply = Some(Reply { answer, slot });
        (Self { write, give_up, bytes, committing: false, reply }, receiver)
    }

    /// Whether nobody waits for it any more.
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
    /// One who has left is no fault: the write counts all the same.
    fn send(self, answer: Result<Committed>) {
        let Self { answer: caller, slot } = self;
        // Before: who is answered finds the place free that it had.
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
