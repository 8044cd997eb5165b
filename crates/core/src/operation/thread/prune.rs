use serde::{Deserialize, Serialize};

use crate::{
    Metadata, Result, Seq, TenantId, ThreadId,
    id::AttachmentKey,
    message::{Generation, carries_nothing},
    operation::{
        OperationOf as _, PersistResult, Verb,
        bytes::stored_len,
        facts::{AnswerFacts, Facts, Limits, Split, StatesFacts, as_replay, deduplicated_by_field},
        stored::{LookUp, Replay},
    },
};

/// Prunes a thread: deletes its oldest messages up to a sequence number, which [`PlanPrune`](crate::operation::PlanPrune) finds.
///
/// A prune never includes the first open message or later ones. The ids of the deleted messages cannot be used again. Each call
/// is a short transaction; repeat it while [`Pruned::more`] is true. It succeeds if there is nothing to delete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PruneThread {
    /// The thread.
    pub thread: ThreadId,
    /// The sequence number of the last message to delete.
    pub through: Seq,
    /// The required generation, from the plan. With another one the prune fails as [`Stale`](crate::ErrorKind::Stale).
    pub generation: Generation,
    /// The most messages to delete: 1 to [`ReadPage::MAX_LIMIT`](crate::operation::ReadPage::MAX_LIMIT).
    pub limit: u32,
}

carries_nothing!(PruneThread { thread: _, through: _, generation: _, limit: _ });

/// The answer to [`PruneThread`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pruned {
    /// The thread.
    pub thread: ThreadId,
    /// The number of deleted messages, final or abandoned.
    pub messages: u64,
    /// The bytes of their content.
    pub bytes: u64,
    /// The attachment keys that the deleted messages had. The host can delete the files.
    pub attachments: Vec<AttachmentKey>,
    /// Whether there are more messages to delete.
    pub more: bool,
    /// Whether this answer replays an earlier call with the same idempotency key.
    pub deduplicated: bool,
}

carries_nothing!(Pruned { thread: _, messages: _, bytes: _, attachments: _, more: _, deduplicated: _ });

/// The refusal of a prune behind a redirect of single messages.
pub(crate) const NO_PRUNE: &str =
    "a thread cannot be pruned while some of its messages are kept on the other side";

crate::operation::addressed_by_thread!(PruneThread, Pruned);

impl StatesFacts for PruneThread {
    fn facts(&self) -> Facts<'_> {
        Facts {
            deletes: true,
            limits: Limits::items(self.limit),
            split_by_message: Split::Refused(NO_PRUNE),
            ..Facts::needing(&[Verb::Clear])
        }
    }

    fn replayed(&self, stored: &Replay, _: &TenantId, _: &mut dyn LookUp) -> Result<PersistResult> {
        let Replay::Prune(first) = stored else { return Err(Replay::misfit()) };
        Ok(Self::answer(as_replay(first)).into())
    }
}

impl AnswerFacts for Pruned {
    deduplicated_by_field!();

    fn replay(&self) -> Option<Replay> {
        Some(Replay::Prune(self.clone()))
    }

    fn stored_bytes(&self) -> usize {
        stored_len(&Metadata::new(), &self.attachments)
    }
}
