//! The kinds of operations that errors, logs and capabilities name.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The kind of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum OpKind {
    /// [`Add`](crate::operation::Add)
    Add,
    /// [`Reserve`](crate::operation::Reserve)
    Reserve,
    /// [`UpdateContent`](crate::operation::UpdateContent)
    UpdateContent,
    /// [`Update`](crate::operation::Update)
    Update,
    /// [`Delete`](crate::operation::Delete)
    Delete,
    /// [`Batch`](crate::operation::Batch)
    Batch,
    /// [`Import`](crate::operation::Import)
    Import,
    /// [`ThreadArgs`](crate::operation::ThreadArgs)
    Thread,
    /// [`ReadArgs`](crate::ReadArgs)
    Read,
    /// [`ConsumerArgs`](crate::operation::ConsumerArgs)
    Consumer,
    /// [`SessionArgs`](crate::operation::SessionArgs)
    Session,
    /// [`ReplicaArgs`](crate::operation::ReplicaArgs)
    Replica,
}

impl OpKind {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::Add,
        Self::Reserve,
        Self::UpdateContent,
        Self::Update,
        Self::Delete,
        Self::Batch,
        Self::Import,
        Self::Thread,
        Self::Read,
        Self::Consumer,
        Self::Session,
        Self::Replica,
    ];

    /// The camelCase name, as in the wire format, errors, spans and reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Reserve => "reserve",
            Self::UpdateContent => "updateContent",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Batch => "batch",
            Self::Import => "import",
            Self::Thread => "thread",
            Self::Read => "read",
            Self::Consumer => "consumer",
            Self::Session => "session",
            Self::Replica => "replica",
        }
    }

    /// Whether the operation changes the store.
    #[must_use]
    pub const fn is_write(self) -> bool {
        !matches!(self, Self::Read)
    }

    /// Whether a call of this kind may have an idempotency key. A key belongs to one thread, so that an operation on a whole
    /// agent or runtime has none.
    #[must_use]
    pub const fn takes_key(self) -> bool {
        !matches!(self, Self::Read | Self::Consumer | Self::Replica)
    }
}

impl fmt::Display for OpKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
