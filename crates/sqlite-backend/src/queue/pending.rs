use std::{
    sync::{Arc, atomic::AtomicU32},
    time::Instant,
};

use throughline_core::{
    Effect, ErrorKind, Idempotency, PersistArgs, PersistError, PersistResult, Position, Result, TenantId,
    Timestamp,
    audit::{PendingAuditEntry, RejectedCallRecords},
    backend::QueuePermit,
};
use tokio::sync::oneshot;

use crate::{blob::BlobRef, fair_queue::Queued};

/// A write as plain data: no code of the caller runs while the writer applies it.
#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) tenant: TenantId,
    pub(crate) args: PersistArgs,
    pub(crate) idempotency: Option<Idempotency>,
    /// The audit record of the write.
    pub(crate) audit: Option<PendingAuditEntry>,
    pub(crate) now: Timestamp,
    /// The blobs that were written for it.
    pub(crate) blobs: Vec<BlobRef>,
}

/// A unit of work for the writer.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "nearly all are writes, and a box would cost each an allocation"
)]
pub(crate) enum Work {
    Write(Write),
    /// Audit records of calls that were not applied.
    RejectedCalls(RejectedCallRecords),
    /// Takes at most this number of free pages off the end of the file, and reports how many. If there is nothing to take, it
    /// makes the file end at its last page.
    Compact {
        pages: u32,
        taken: Arc<AtomicU32>,
    },
}

impl From<Write> for Work {
    fn from(write: Write) -> Self {
        Self::Write(write)
    }
}

/// The outcome of a write.
#[derive(Debug)]
pub(crate) struct Committed {
    /// The result; `None` for other work than a write.
    pub(crate) result: Option<PersistResult>,
    /// `None` for a replay.
    pub(crate) position: Option<Position>,
}

/// The limits on the wait of a write.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// The instant at which its caller stops waiting.
    pub(crate) deadline: Option<Instant>,
    /// The instant until which it waits for a permit, and then for the lock.
    pub(crate) timeout_at: Instant,
}

/// The progress of a write: it determines the answer of a caller if the writer is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The write waits, or the writer has not sent `COMMIT` for its transaction.
    Uncommitted,
    /// The writer has sent `COMMIT`.
    Committing,
}

/// An admitted write and the channel to its caller. Every path answers it exactly once: dropped without an answer, it
/// answers with its known effect.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) work: Work,
    tenant: TenantId,
    pub(crate) times: Times,
    /// The bytes that it occupies in the queue.
    pub(crate) bytes: usize,
    /// A transaction that it shared failed, or it is no write, so it gets one of its own.
    pub(crate) alone: bool,
    /// The writer took its ids for new, and one was not: the writer must look them up.
    pub(crate) looks_up_ids: bool,
    pub(crate) stage: Stage,
    reply: Option<Reply>,
}

/// The channel to a caller.
#[derive(Debug)]
struct Reply {
    answer: oneshot::Sender<Result<Committed>>,
    /// Its permit of the queue, released with the answer.
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
            Work::Compact { .. } => TenantId::default(),
        };
        let alone = matches!(work, Work::Compact { .. });
        (Self { work, tenant, times, bytes, alone, looks_up_ids: false, stage, reply: Some(reply) }, receiver)
    }

    /// Returns whether the caller has left.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.reply.as_ref().is_none_or(|reply| reply.answer.is_closed())
    }

    /// Returns the blobs that were written for it.
    pub(crate) fn blobs(&self) -> &[BlobRef] {
        match &self.work {
            Work::Write(write) => &write.blobs,
            Work::RejectedCalls(_) | Work::Compact { .. } => &[],
        }
    }

    /// Answers and wakes the caller from this thread. A task of the caller's runtime would be delayed until a thread of
    /// that runtime polls it.
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
    /// Wakes the caller. A caller that has left is no error: the write counts anyway.
    fn send(self, answer: Result<Committed>) {
        let Self { answer: caller, permit } = self;
        // Before the answer, so that an answered caller finds its permit free.
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

/// Returns the error for a caller whose writer was lost.
pub(crate) fn lost(effect: Effect) -> PersistError {
    PersistError::new(ErrorKind::Unavailable, "the writer of the store was lost").with_effect(effect)
}
