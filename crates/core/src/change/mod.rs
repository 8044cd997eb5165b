//! The changes of a store, in the order of their commits.
//!
//! A change says what happened to what, and holds no content: whoever follows the changes reads what is there now, so that
//! nothing that was redacted or deleted since is shown to anybody who comes late.
//!
//! ```
//! use throughline_core::{Position, changes::{Change, ChangeKind}};
//!
//! let json = r#"{"position":7,"tenant":"default","thread":"t","at":0,
//!     "what":{"added":{"id":"m","seq":1,"revision":1}}}"#;
//! let change: Change = serde_json::from_str(json)?;
//! assert_eq!(change.position, Position::new(7));
//! assert!(matches!(change.what, ChangeKind::Added(added) if added.id.as_str() == "m"));
//! # Ok::<(), serde_json::Error>(())
//! ```

mod notification;

use serde::{Deserialize, Serialize};

pub use self::notification::{CommitNotifications, CommitNotifier};
use crate::{MessageId, Position, Revision, Seq, TenantId, ThreadId, Timestamp, message::Generation};

/// One change.
///
/// Of writes to one open message that are committed together a store may tell the last alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// Its place among all changes of the store. Positions increase, and some may be left out.
    pub position: Position,
    /// Whose it is.
    pub tenant: TenantId,
    /// The thread that it is about.
    pub thread: ThreadId,
    /// When it was made.
    pub at: Timestamp,
    /// What happened.
    pub what: ChangeKind,
}

/// What a [`Change`] did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum ChangeKind {
    /// A complete message was added, or imported.
    Added(ChangedMessage),
    /// A message was reserved.
    Reserved(ChangedMessage),
    /// An open message was written to.
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
    /// Its title, its labels, its owner or whether it is archived was changed.
    ThreadChanged,
    /// It was finished being imported, and may be listed.
    ThreadPublished,
    /// Every message up to this place went, and another generation began.
    ThreadCleared {
        /// The generation that began.
        generation: Generation,
        /// The last place that went.
        through: Seq,
    },
    /// Every message up to this place went.
    ThreadPruned {
        /// The last place that went.
        through: Seq,
    },
    /// It was deleted, with everything in it.
    ThreadDeleted,
    /// The store holds something here that it cannot read, or that a newer version wrote.
    Unreadable {
        /// What is wrong with it.
        why: String,
    },
}

/// The message that a change is about, as it was left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangedMessage {
    /// Its id.
    pub id: MessageId,
    /// Its place in the thread.
    pub seq: Seq,
    /// Its revision after the change.
    pub revision: Revision,
}

impl ChangeKind {
    /// The message that it is about, where it is about one.
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

/// Which changes are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ChangeScope {
    /// Those of one thread.
    Thread(ThreadId),
    /// Those of the tenant of the call.
    #[default]
    Tenant,
    /// Those of every tenant: for who serves the store as a whole, such as an index. A guard that keeps tenants apart
    /// refuses it to everybody else.
    Store,
}
