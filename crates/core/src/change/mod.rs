//! The change feed: the changes of a store, in commit order.
//!
//! A change has ids and a kind, but no content. A reader of the feed reads the current content, so that a late reader never sees
//! content that was redacted or deleted in the meantime.
//!
//! ```
//! use throughline_core::{Position, changes::{Change, ChangeKind}};
//!
//! let json = r#"{"position":7,"tenant":"default","thread":"t","at":0,
//!     "kind":{"added":{"id":"m","seq":1,"revision":1}}}"#;
//! let change: Change = serde_json::from_str(json)?;
//! assert_eq!(change.position, Position::new(7));
//! assert!(matches!(change.kind, ChangeKind::Added(added) if added.id.as_str() == "m"));
//! # Ok::<(), serde_json::Error>(())
//! ```

mod notification;

use serde::{Deserialize, Serialize};

pub use self::notification::{CommitNotifications, CommitNotifier};
use crate::{MessageId, Position, Revision, Seq, TenantId, ThreadId, Timestamp, message::Generation};

/// A change event of the feed.
///
/// If several writes to one open message are committed together, a store may emit only the last one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// The position of the change in the store. Positions increase, and can have gaps.
    pub position: Position,
    /// The tenant of the change.
    pub tenant: TenantId,
    /// The thread of the change.
    pub thread: ThreadId,
    /// The time of the change.
    pub at: Timestamp,
    /// The kind of the change.
    pub kind: ChangeKind,
}

/// The kind of a [`Change`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum ChangeKind {
    /// A complete message was added, or imported.
    Added(ChangedMessage),
    /// A message was reserved.
    Reserved(ChangedMessage),
    /// The content of an open message was appended or replaced.
    Written(ChangedMessage),
    /// An open message became final.
    Finished(ChangedMessage),
    /// An open message was abandoned.
    Abandoned(ChangedMessage),
    /// The content of a final message was replaced.
    Edited(ChangedMessage),
    /// Metadata or attachments of a message were changed.
    Patched(ChangedMessage),
    /// A message was deleted.
    Deleted(ChangedMessage),
    /// The thread was created, without a message.
    ThreadCreated,
    /// The title, the labels, the owner or the archive flag of the thread was changed.
    ThreadChanged,
    /// A hidden thread was published; lists show it.
    ThreadPublished,
    /// All messages up to a sequence number were deleted, and the next generation began.
    ThreadCleared {
        /// The new generation.
        generation: Generation,
        /// The sequence number of the last deleted message.
        through: Seq,
    },
    /// All messages up to a sequence number were deleted.
    ThreadPruned {
        /// The sequence number of the last deleted message.
        through: Seq,
    },
    /// The thread was deleted with all its messages.
    ThreadDeleted,
    /// The row of this change is damaged, or a newer version wrote it.
    Unreadable {
        /// The reason.
        why: String,
    },
}

/// The message of a change, with its values after the change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangedMessage {
    /// The id of the message.
    pub id: MessageId,
    /// The sequence number of the message.
    pub seq: Seq,
    /// The revision after the change.
    pub revision: Revision,
}

impl ChangeKind {
    /// The message of the change. `None` for a change of a thread.
    #[must_use]
    pub const fn message(&self) -> Option<&ChangedMessage> {
        match self {
            Self::Added(message)
            | Self::Reserved(message)
            | Self::Written(message)
            | Self::Finished(message)
            | Self::Abandoned(message)
            | Self::Edited(message)
            | Self::Patched(message)
            | Self::Deleted(message) => Some(message),
            Self::ThreadCreated
            | Self::ThreadChanged
            | Self::ThreadPublished
            | Self::ThreadCleared { .. }
            | Self::ThreadPruned { .. }
            | Self::ThreadDeleted
            | Self::Unreadable { .. } => None,
        }
    }
}

/// The scope of a read of changes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ChangeScope {
    /// The changes of one thread.
    Thread(ThreadId),
    /// The changes of the tenant of the call.
    #[default]
    Tenant,
    /// The changes of every tenant, for an operator of the whole store, such as an index. A guard that separates tenants refuses
    /// it to other callers.
    Store,
}
