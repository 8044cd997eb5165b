use std::time::Instant;

use throughline_core::{
    Effect, ErrorKind, Idempotency, PersistArgs, PersistError, PersistResult, Position, Result, TenantId,
    Timestamp,
    audit::{PendingAuditEntry, RejectedCallRecords},
    backend::QueuePermit,
};
use tokio::sync::oneshot;

use crate::fair_queue::Queued;

/// A write as plain data: nothing of the caller's runs while it is applied.
#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) tenant: TenantId,
    pub(crate) args: PersistArgs,
    pub(crate) idempotency: Option<Idempotency>,
    /// What the log of who did what is to say of it.
    pub(crate) audit: Option<PendingAuditEntry>,
    pub(crate) now: Timestamp,
}

/// What the writer does.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "nearly all are writes, and a box would cost each an allocation"
)]
pub(crate) enum Work {
    Write(Write),
    /// Entries of the log of who did what, about what was not applied.
    RejectedCalls(RejectedCallRecords),
}

impl From<Write> for Work {
    fn from(write: Write) -> Self {
        Self::Write(write)
    }
}

/// What a write came to.
#[derive(Debug)]
pub(crate) struct Committed {
    /// The answer; nothing to notes.
    pub(crate) result: Option<PersistResult>,
    /// Nothing for a replay.
    pub(crate) position: Option<Position>,
}

/// When a write that waits is given up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// When its caller stops waiting.
    pub(crate) deadline: Option<Instant>,
    /// Until when it waits for a place, and then for the lock.
    pub(crate) timeout_at: Instant,
}

/// How far a write has come: what its caller is told if the writer is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It waits, or its transaction has not been asked to commit.
    Uncommitted,
    /// `COMMIT` was sent.
    Committing,
}

/// A write that was admitted, and whoever waits for it. It is answered once, on every path: dropped without an
/// answer, it says what is known.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) work: Work,
    tenant: TenantId,
    pub(crate) times: Times,
    /// The bytes that it holds of the queue's.
    pub(crate) bytes: usize,
    /// It failed a transaction that it shared, and is to have one of its own.
    pub(crate) alone: bool,
    /// Its ids were taken for new, and one was not: they are to be looked up.
    pub(crate) looks_up_ids: bool,
    pub(crate) stage: Stage,
    reply: Option<Reply>,
}

/// The way back to a caller.
#[derive(Debug)]
struct Reply {
    answer: oneshot::Sender<Result<Committed>>,
    /// Its place in the queue, given up with the answer.
    permit: QueuePermit,
}

impl Pending {
    pub(crate) fn new(
        work: impl Into<Work>,
        times: Times,
        bytes: usize,
        permit: QueuePermit,
    ) -> (Self, oneshot::Receiver<Result<Committed>>) {
        let (answer, receiver) = oneshot::channel();
        let reply = Reply { answer, permit };
        let stage = Stage::Uncommitted;
        let work = work.into();
        let tenant = match &work {
            Work::Write(write) => write.tenant.clone(),
            Work::RejectedCalls(records) => records.tenant(),
        };
        (
            Self { work, tenant, times, bytes, alone: false, looks_up_ids: false, stage, reply: Some(reply) },
            receiver,
        )
    }

    /// Whether nobody waits for it any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.reply.as_ref().is_none_or(|reply| reply.answer.is_closed())
    }

    /// Answers and wakes the caller, from this thread: what would be left to a task of the caller's runtime would wait
    /// until somebody runs it.
    pub(crate) fn answer(mut self, answer: Result<Committed>) {
        if let Some(reply) = self.reply.take() {
            reply.send(answer);
        }
    }
}

impl Queued for Pending {
    fn tenant(&self) -> &TenantId {
        &self.tenant
    }
}

impl Reply {
    /// Wakes the caller. One who has left is no fault: the write counts all the same.
    fn send(self, answer: Result<Committed>) {
        let Self { answer: caller, permit } = self;
        // Before: who is answered finds the place free that it had.
        drop(permit);
        drop(caller.send(answer));
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(reply) = self.reply.take() {
            let effect = match self.stage {
                Stage::Uncommitted => Effect::NotApplied,
                Stage::Committing => Effect::Unknown,
            };
            reply.send(Err(lost(effect)));
        }
    }
}

/// What a caller is told whose write the writer was lost with.
pub(crate) fn lost(effect: Effect) -> PersistError {
    PersistError::new(ErrorKind::Unavailable, "the writer of the store was lost").with_effect(effect)
}
