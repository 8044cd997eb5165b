use std::time::Duration;

use crate::{Context, Effect, ErrorKind, MessageId, OpKind, Position, TenantId, ThreadId};

/// A completed call: its ids and its outcome, without content.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Event {
    /// The context of the call.
    pub context: Context,
    /// The outcome of the call.
    pub outcome: Outcome,
    /// The duration of the inner layers.
    pub duration: Duration,
}

/// The outcome of a call, as an observer sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The call was answered.
    Answered {
        /// The position of the change in the store. `None` for a read, a replay and a short-circuit.
        position: Option<Position>,
        /// Whether the answer replays an earlier call with the same idempotency key.
        deduplicated: bool,
    },
    /// The call failed.
    Failed {
        /// The kind of the error.
        kind: ErrorKind,
        /// The part of the operation that the store has.
        effect: Effect,
    },
    /// The caller or an outer layer dropped the call before its answer.
    Left {
        /// The part of the operation that the store had, as far as the pipeline knew at that time.
        effect: Effect,
    },
}

impl Event {
    /// The kind of the operation.
    #[must_use]
    pub fn kind(&self) -> OpKind {
        self.context.kind()
    }

    /// The tenant of the call.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        self.context.tenant()
    }

    /// The thread of the operation. `None` if it addresses no thread, or more than one.
    #[must_use]
    pub fn thread(&self) -> Option<&ThreadId> {
        self.context.thread()
    }

    /// The message of the operation. `None` if it addresses no message, or more than one.
    #[must_use]
    pub fn message(&self) -> Option<&MessageId> {
        self.context.message()
    }
}
