//! The operations on a whole thread.

mod change;
mod create;
mod end;
mod prune;
mod resolve;
mod take;

use serde::{Deserialize, Serialize};

pub(crate) use self::prune::NO_PRUNE;
pub use self::{
    change::{ArchiveThread, LabelThread, PublishThread, RebuildThread, RenameThread},
    create::{CreateThread, NewThread},
    end::{ClearThread, DeleteThread, PurgeThread, Purged, ThreadDeleted},
    prune::{PruneThread, Pruned},
    resolve::{Mismatch, ResolveId, ResolvedBy, ResolvedId, SkippedId},
    take::{TakeLastMessage, TakenMessage},
};
use super::{
    OperationOf, PersistResult, Verb,
    facts::{AnswerFacts, Facts, Split, deduplicated_by_field},
    family::family,
    stored::{LookUp, Replay},
};
use crate::message::{CarriesContent as _, carries_parts};
use crate::{ErrorKind, PersistError, Result, ThreadId, thread::ThreadSummary};

/// The answer to most operations on a thread: its summary after the operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ThreadChanged {
    /// The summary of the thread.
    pub summary: ThreadSummary,
    /// Whether this answer replays an earlier call with the same idempotency key. The summary is then the current one.
    pub deduplicated: bool,
}

carries_parts!(ThreadChanged { summary, deduplicated: _ } => [summary]);

family! {
    /// The operations on a whole thread. They pass through the same layers as messages.
    ThreadArgs in Thread;
    /// The answers to [`ThreadArgs`].
    ThreadResult;

    /// Creates a thread without messages.
    Create: CreateThread -> ThreadChanged as "createThread";
    /// Sets the title.
    Rename: RenameThread -> ThreadChanged as "renameThread";
    /// Archives the thread, or removes it from the archive.
    Archive: ArchiveThread -> ThreadChanged as "archiveThread";
    /// Changes the labels, the owner and the metadata.
    Label: LabelThread -> ThreadChanged as "labelThread";
    /// Publishes a hidden thread.
    Publish: PublishThread -> ThreadChanged as "publishThread";
    /// Rebuilds the summary from the messages.
    Rebuild: RebuildThread -> ThreadChanged as "rebuildThread";
    /// Deletes all messages and starts the next generation.
    Clear: ClearThread -> ThreadChanged as "clearThread";
    /// Deletes the oldest messages.
    Prune: PruneThread -> Pruned as "pruneThread";
    /// Deletes the thread.
    Delete: DeleteThread -> ThreadDeleted as "deleteThread";
    /// Frees the space of a cleared or deleted thread.
    Purge: PurgeThread -> Purged as "purgeThread";
    /// Finds or assigns the id of a message by its provider ids.
    Resolve: ResolveId -> ResolvedId as "resolveId";
    /// Deletes the last message and returns it.
    TakeLast: TakeLastMessage -> TakenMessage as "takeLastMessage";
}

impl ThreadArgs {
    /// Returns the answer to this operation, if its answer is a thread summary. `None` for other operations.
    #[must_use]
    pub fn changed(&self, changed: ThreadChanged) -> Option<ThreadResult> {
        Some(match self {
            Self::Create(_) => ThreadResult::Create(changed),
            Self::Rename(_) => ThreadResult::Rename(changed),
            Self::Archive(_) => ThreadResult::Archive(changed),
            Self::Label(_) => ThreadResult::Label(changed),
            Self::Publish(_) => ThreadResult::Publish(changed),
            Self::Rebuild(_) => ThreadResult::Rebuild(changed),
            Self::Clear(_) => ThreadResult::Clear(changed),
            Self::Prune(_) | Self::Delete(_) | Self::Purge(_) | Self::Resolve(_) | Self::TakeLast(_) => {
                return None;
            }
        })
    }
}

impl ThreadResult {
    /// Whether this answer replays an earlier call with the same idempotency key.
    #[must_use]
    pub fn is_deduplicated(&self) -> bool {
        self.facts().is_deduplicated()
    }
}

super::addressed_by_thread!(ThreadChanged in summary);

impl AnswerFacts for ThreadChanged {
    deduplicated_by_field!();

    fn replay(&self) -> Option<Replay> {
        Some(Replay::Thread)
    }

    fn stored_bytes(&self) -> usize {
        self.content_fields().iter().map(|field| field.value.byte_len()).sum()
    }

    fn summaries(&self) -> &[ThreadSummary] {
        std::slice::from_ref(&self.summary)
    }
}

/// The facts that the operations on the summary of a thread share.
fn managing() -> Facts<'static> {
    Facts { is_batchable: true, split_by_message: Split::Here, ..Facts::needing(&[Verb::Manage]) }
}

/// Answers a repeated call with the current summary of the thread.
fn replay_summary<O>(thread: &ThreadId, stored: &Replay, look_up: &mut dyn LookUp) -> Result<PersistResult>
where
    O: OperationOf<ThreadArgs, Output = ThreadChanged>,
{
    let Replay::Thread = stored else { return Err(Replay::misfit()) };
    let Some(summary) = look_up.thread(thread)? else {
        let detail = "the call was applied, and the thread has been deleted since";
        return Err(PersistError::new(ErrorKind::Gone, detail));
    };
    Ok(O::answer(ThreadChanged { summary, deduplicated: true }).into())
}
