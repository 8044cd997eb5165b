//! The operations on a whole thread.

mod change;
mod create;
mod end;
mod prune;
mod resolve;
mod take;

use serde::{Deserialize, Serialize};

pub use self::{
    change::{ArchiveThread, LabelThread, PublishThread, RebuildThread, RenameThread},
    create::{CreateThread, NewThread},
    end::{ClearThread, DeleteThread, PurgeThread, Purged, ThreadDeleted},
    prune::{PruneThread, Pruned},
    resolve::{Mismatch, ResolveId, ResolvedBy, ResolvedId, SkippedId},
    take::{TakeLastMessage, TakenMessage},
};
use super::{Addressed, family::family};
use crate::message::carries_parts;
use crate::{MessageId, ThreadId, thread::ThreadSummary};

/// The answer to most operations on a thread: its summary after the operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ThreadChanged {
    /// The summary of the thread.
    pub summary: ThreadSummary,
    /// Whether this answer replays an earlier call with the same idempotency key. The summary is then the current one.
    pub deduplicated: bool,
}

carries_parts!(ThreadChanged, self => {
    let Self { summary, deduplicated: _ } = self;
    [summary]
}, {
    let Self { summary, deduplicated: _ } = self;
    [summary]
});

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
    pub const fn is_deduplicated(&self) -> bool {
        match self {
            Self::Create(ThreadChanged { deduplicated, .. })
            | Self::Rename(ThreadChanged { deduplicated, .. })
            | Self::Archive(ThreadChanged { deduplicated, .. })
            | Self::Label(ThreadChanged { deduplicated, .. })
            | Self::Publish(ThreadChanged { deduplicated, .. })
            | Self::Rebuild(ThreadChanged { deduplicated, .. })
            | Self::Clear(ThreadChanged { deduplicated, .. })
            | Self::Prune(Pruned { deduplicated, .. })
            | Self::Delete(ThreadDeleted { deduplicated, .. })
            | Self::Purge(Purged { deduplicated, .. })
            | Self::Resolve(ResolvedId { deduplicated, .. })
            | Self::TakeLast(TakenMessage { deduplicated, .. }) => *deduplicated,
        }
    }
}

impl Addressed for ThreadArgs {
    fn thread(&self) -> Option<&ThreadId> {
        Some(match self {
            Self::Create(CreateThread { thread, .. })
            | Self::Rename(RenameThread { thread, .. })
            | Self::Archive(ArchiveThread { thread, .. })
            | Self::Label(LabelThread { thread, .. })
            | Self::Publish(PublishThread { thread, .. })
            | Self::Rebuild(RebuildThread { thread, .. })
            | Self::Clear(ClearThread { thread, .. })
            | Self::Prune(PruneThread { thread, .. })
            | Self::Delete(DeleteThread { thread, .. })
            | Self::Purge(PurgeThread { thread, .. })
            | Self::Resolve(ResolveId { thread, .. })
            | Self::TakeLast(TakeLastMessage { thread, .. }) => thread,
        })
    }

    fn message(&self) -> Option<&MessageId> {
        None
    }
}

impl Addressed for ThreadResult {
    fn thread(&self) -> Option<&ThreadId> {
        Some(match self {
            Self::Create(ThreadChanged { summary, .. })
            | Self::Rename(ThreadChanged { summary, .. })
            | Self::Archive(ThreadChanged { summary, .. })
            | Self::Label(ThreadChanged { summary, .. })
            | Self::Publish(ThreadChanged { summary, .. })
            | Self::Rebuild(ThreadChanged { summary, .. })
            | Self::Clear(ThreadChanged { summary, .. }) => &summary.thread,
            Self::Prune(Pruned { thread, .. })
            | Self::Delete(ThreadDeleted { thread, .. })
            | Self::Purge(Purged { thread, .. })
            | Self::Resolve(ResolvedId { thread, .. })
            | Self::TakeLast(TakenMessage { thread, .. }) => thread,
        })
    }

    fn message(&self) -> Option<&MessageId> {
        None
    }
}
