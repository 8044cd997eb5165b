use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{Addressed, PersistArgs, PersistResult, lower};
use crate::{
    MessageId, Result, Seq, TenantId, ThreadId,
    message::carries_parts,
    operation::{
        Verb,
        facts::{AnswerFacts, Facts, StatesFacts, deduplicated_by_field},
        stored::{LookUp, Replay},
    },
};

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
    /// The most bytes of stored content that the items of one batch may read and write again: 64 MiB. An item that
    /// appends to stored content and settles the message, or edits it, rewrites the whole content, so a small item can
    /// rewrite megabytes. A batch beyond it fails as [`TooLarge`](crate::ErrorKind::TooLarge), with the index of the
    /// item that exceeds it; divide the batch. An item is accepted whatever its content is as long as the items before it rewrite
    /// no bytes; the end of a draft without content already rewrites a few.
    pub const MAX_REWRITTEN_BYTES: u64 = 64 << 20;

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

carries_parts!(Batch { items, after: _, max_answer_bytes: _ } => items);

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

carries_parts!(Batched { outputs, deduplicated: _ } => outputs);

impl Addressed for Batched {
    fn thread(&self) -> Option<&ThreadId> {
        common_thread(&self.outputs)
    }

    fn message(&self) -> Option<&MessageId> {
        None
    }
}

/// Of a batch, a fact is the sum of the facts of its items.
impl StatesFacts for Batch {
    // A guard asks each item: see `PersistArgs::each`.
    fn facts(&self) -> Facts<'_> {
        let mut facts = Facts { settles: true, ..Facts::needing(&[Verb::Append]) };
        for item in self.items.iter().map(PersistArgs::facts) {
            facts.deletes |= item.deletes;
            facts.settles &= item.settles;
            facts.grows |= item.grows;
            facts.brings_content |= item.brings_content;
        }
        facts
    }

    fn byte_len(&self) -> Option<usize> {
        Some(self.items.iter().map(PersistArgs::byte_len).sum())
    }

    fn replayed(
        &self,
        stored: &Replay,
        tenant: &TenantId,
        look_up: &mut dyn LookUp,
    ) -> Result<PersistResult> {
        match stored {
            Replay::Batch(stored) if stored.len() == self.items.len() => {
                let outputs = replay_items(stored, &self.items, tenant, look_up)?;
                Ok(Batched { outputs, deduplicated: true }.into())
            }
            _ => Err(Replay::misfit()),
        }
    }
}

fn replay_items(
    stored: &[Replay],
    items: &[PersistArgs],
    tenant: &TenantId,
    look_up: &mut dyn LookUp,
) -> Result<Vec<PersistResult>> {
    // The repeated call generated other ids; its later items must address the messages of the first call.
    let renamed: HashMap<&MessageId, &MessageId> = (stored.iter().zip(items))
        .filter_map(|(stored, item)| Some((item.facts().minted_id?, stored.first_id()?)))
        .collect();
    let answer = |(stored, item): (&Replay, &PersistArgs)| {
        let mut item = item.clone();
        if let Some(id) = item.message_mut()
            && let Some(first) = renamed.get(&*id)
        {
            *id = (*first).clone();
        }
        stored.answer(tenant, &item, look_up)
    };
    stored.iter().zip(items).map(answer).collect()
}

impl AnswerFacts for Batched {
    deduplicated_by_field!();

    fn replay(&self) -> Option<Replay> {
        Some(Replay::Batch(self.outputs.iter().map(Replay::of).collect()))
    }

    fn stored_bytes(&self) -> usize {
        self.outputs.iter().map(PersistResult::answer_bytes).sum()
    }
}
