use serde::{Deserialize, Serialize};

use super::{Addressed, PersistArgs, PersistResult, lower};
use crate::message::carries_parts;
use crate::{MessageId, Seq, ThreadId};

/// Several writes as one: all or nothing, in one transaction of the backend, in order. An item sees what the
/// items before it did.
///
/// Items are message operations; a read or a batch inside a batch is refused. An error names the index of the
/// item. The idempotency key of a batch is scoped to the thread of its first item.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Batch {
    /// The writes in order.
    pub items: Vec<PersistArgs>,
    /// The last sequence number that the thread of the first item had given when the caller read it, as
    /// [`Page::last_seq`](crate::operation::Page::last_seq) says; when it has given another one since, the batch is refused as
    /// [`Stale`](crate::ErrorKind::Stale). It is compared before the first item, which may give the next one. A thread that was deleted
    /// keeps its number, so that a batch which deletes it again is answered as the first one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Seq>,
    /// The most [bytes of the store](PersistResult::answer_bytes) that the answers may show together; a batch that would be answered by
    /// more is refused as [`TooLarge`](crate::ErrorKind::TooLarge), with the item that exceeds it. Small items can have large answers: a
    /// patch is answered by the whole metadata. The layer `limits` sets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_answer_bytes: Option<u64>,
}

impl Batch {
    /// No writes yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { items: Vec::new(), after: None, max_answer_bytes: None }
    }

    /// Refuses to run when the thread of the first item has given another sequence number since.
    #[must_use]
    pub const fn after(mut self, seq: Seq) -> Self {
        self.after = Some(seq);
        self
    }

    /// Refuses to run where the answers would show more than `bytes` of the store. An earlier, lower limit stays.
    #[must_use]
    pub const fn answering_within(mut self, bytes: u64) -> Self {
        self.max_answer_bytes = Some(lower(self.max_answer_bytes, bytes));
        self
    }

    /// The batch of these writes.
    #[must_use]
    pub const fn of(items: Vec<PersistArgs>) -> Self {
        Self { items, after: None, max_answer_bytes: None }
    }

    /// Adds a write at the end.
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

/// The thread that all of `parts` are in, if they are all in one.
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
    /// Whether an earlier call with the same idempotency key had made the writes.
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
