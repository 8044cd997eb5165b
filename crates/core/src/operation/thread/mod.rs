//! What is done to a thread as a whole.

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

/// The answer to most of what is done to a thread: what it is now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ThreadChanged {
    /// The thread.
    pub entry: ThreadSummary,
    /// Whether an earlier call with the same idempotency key had done it. The entry is then what it is by now.
    pub deduplicated: bool,
}

carries_parts!(ThreadChanged, self => {
    let Self { entry, deduplicated: _ } = self;
    [entry]
}, {
    let Self { entry, deduplicated: _ } = self;
    [entry]
});

family! {
    /// What is done to a thread as a whole. It goes through the same layers as the messages.
    ThreadArgs in Thread;
    /// The answers to [`ThreadArgs`].
    ThreadResult;

    /// Makes a thread that has no message yet.
    Create: CreateThread -> ThreadChanged as "createThread";
    /// Gives it another title.
    Rename: RenameThread -> ThreadChanged as "renameThread";
    /// Puts it away, or gets it out again.
    Archive: ArchiveThread -> ThreadChanged as "archiveThread";
    /// Changes its labels, its owner and its metadata.
    Label: LabelThread -> ThreadChanged as "labelThread";
    /// Ends its import.
    Publish: PublishThread -> ThreadChanged as "publishThread";
    /// Makes what its entry says of its messages again, of the messages alone.
    Rebuild: RebuildThread -> ThreadChanged as "rebuildThread";
    /// Takes every message away and begins another generation.
    Clear: ClearThread -> ThreadChanged as "clearThread";
    /// Takes its oldest messages away.
    Prune: PruneThread -> Pruned as "pruneThread";
    /// Deletes it.
    Delete: DeleteThread -> ThreadDeleted as "deleteThread";
    /// Frees what a cleared or deleted thread still takes up.
    Purge: PurgeThread -> Purged as "purgeThread";
    /// Asks under which id it has, or is to have, a message that a provider speaks of.
    Resolve: ResolveId -> ResolvedId as "resolveId";
    /// Deletes its last message and answers it.
    TakeLast: TakeLastMessage -> TakenMessage as "takeLastMessage";
}

impl ThreadArgs {
    /// The answer to this operation where that is what the thread is now; nothing where it is something else.
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
    /// Whether an earlier call with the same idempotency key had done it.
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
            Self::Create(ThreadChanged { entry, .. })
            | Self::Rename(ThreadChanged { entry, .. })
            | Self::Archive(ThreadChanged { entry, .. })
            | Self::Label(ThreadChanged { entry, .. })
            | Self::Publish(ThreadChanged { entry, .. })
            | Self::Rebuild(ThreadChanged { entry, .. })
            | Self::Clear(ThreadChanged { entry, .. }) => &entry.thread,
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
