use serde::{Deserialize, Serialize};

use super::{Addressed, PersistArgs, PersistResult, lower};
use crate::message::carries_parts;
use crate::{MessageId, Seq, ThreadId};

/// Several writes in one transaction: the backend commits all of them, in order, or none. An item sees the changes of the items
/// before it.
///
/// An item can be an operation on a message, on a thread (except prune, purge and rebuild) or on the sessions of a thread. An
/// error has the [index](crate::PersistError::batch_index) of the failed item. The idempotency key of a batch belongs to the thread
/// of its first item.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Batch {
    /// The writes, in order.
    pub items: Vec<PersistArgs>,
    /// The required last sequence number of the thread of the first item, as in
    /// [`Page::last_seq`](crate::operation::Page::last_seq). If the thread has assigned another one since, the batch fails as
    /// [`Stale`](crate::ErrorKind::Stale). The store compares it before the first item, which can assign the next number. A
    /// deleted thread keeps its number, so that a batch that deletes the thread again gets the same answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Seq>,
    /// The most [bytes](PersistResult::answer_bytes) of stored data that the answers may contain together. A batch beyond it
    /// fails as [`TooLarge`](crate::ErrorKind::TooLarge), with the index of the item that exceeds it. A small item can have a
    /// large answer: a patch returns the whole metadata. The layer `limits` sets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_answer_bytes: Option<u64>,
}

impl Batch {
    /// Returns an empty batch.
    #[must_use]
    pub const fn new() -> Self {
        Self { items: Vec::new(), after: None, max_answer_bytes: None }
    }

    /// Requires this last sequence number of the thread of the first item: see [`after`](Self::after).
    #[must_use]
    pub const fn after(mut self, seq: Seq) -> Self {
        self.after = Some(seq);
        self
    }

    /// Limits the stored data in the answers to `bytes`. A lower limit that was set before remains.
    #[must_use]
    pub const fn answering_within(mut self, bytes: u64) -> Self {
        self.max_answer_bytes = Some(lower(self.max_answer_bytes, bytes));
        self
    }

    /// Returns a batch of these writes.
    #[must_use]
    pub const fn of(items: Vec<PersistArgs>) -> Self {
        Self { items, after: None, max_answer_bytes: None }
    }

    /// Appends a write.
    #[must_use]
    pub fn with(mut self, item: impl Into<PersistArgs>) -> Self {
        self.items.push(item.into());
        self
    }
}

carries_parts!(Batch, self => {
    let Self { items, after: _, max_answer_bytes: _ } = self;
    items
}, {
    let Self { items, after: _, max_answer_bytes: _ } = self;
    items
});

/// Returns the thread of all `parts`. `None` if they address several threads.
fn common_thread<T: Addressed>(parts: &[T]) -> Option<&ThreadId> {
    let (first, rest) = parts.split_first()?;
    let thread = first.thread()?;
    rest.iter().all(|part| part.thread() == Some(thread)).then_some(thread)
}

impl Addressed for Batch {
    fn thread(&self) -> Option<&ThreadId> {
        common_thread(&self.items)
    }

    fn message(&self) -> Option<&MessageId> {
        None
    }
}

/// The answer to [`Batch`]: the answer to each item, in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Batched {
    /// The answers in the order of the items.
    pub outputs: Vec<PersistResult>,
    /// Whether this answer replays an earlier call with the same idempotency key.
    pub deduplicated: bool,
}

carries_parts!(Batched, self => {
    let Self { outputs, deduplicated: _ } = self;
    outputs
}, {
    let Self { outputs, deduplicated: _ } = self;
    outputs
});

impl Addressed for Batched {
    fn thread(&self) -> Option<&ThreadId> {
        common_thread(&self.outputs)
    }

    fn message(&self) -> Option<&MessageId> {
        None
    }
}
