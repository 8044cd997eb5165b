use std::time::Duration;

use crate::{Context, Effect, ErrorKind, MessageId, OpKind, Position, TenantId, ThreadId};

/// A call that has ended. Ids and outcomes; never content.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Event {
    /// The facts of the call.
    pub context: Context,
    /// How it ended.
    pub outcome: Outcome,
    /// How long the layers inside this one took.
    pub duration: Duration,
}

/// How a call ended, as an observer sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It was answered.
    Answered {
        /// Its place among the commits of the store; none for a read, a replay and a short-circuit.
        position: Option<Position>,
        /// Whether an earlier call with the same key had done it.
        deduplicated: bool,
    },
    /// It failed.
    Failed {
        /// What happened.
        kind: ErrorKind,
        /// What the store may contain.
        effect: Effect,
    },
    /// Its caller left, or a layer further out gave it up, before it was answered.
    Left {
        /// What the store may contain, as far as it was seen then.
        effect: Effect,
    },
}

impl Event {
    /// Which operation it was.
    #[must_use]
    pub fn kind(&self) -> OpKind {
        self.context.kind()
    }

    /// Whose it was.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        self.context.tenant()
    }

    /// The thread, where it is exactly one.
    #[must_use]
    pub fn thread(&self) -> Option<&ThreadId> {
        self.context.thread()
    }

    /// The message, where it is exactly one.
    #[must_use]
    pub fn message(&self) -> Option<&MessageId> {
        self.context.message()
    }
}
