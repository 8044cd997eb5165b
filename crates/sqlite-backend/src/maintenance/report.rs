//! The result of a verification.

use std::{fmt, path::PathBuf};

use throughline_core::{MessageId, TenantId, ThreadId};

/// The number of verified rows, and the damage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verification {
    /// The verified messages, including damaged ones, without deleted ones.
    pub messages: u64,
    /// The tombstones of deleted messages.
    pub deleted: u64,
    /// The chunks of open messages, and those of ended messages that the writer has not deleted yet.
    pub chunks: u64,
    /// The verified contents in files next to the store: see
    /// [`SqliteOptions::blobs_above`](crate::SqliteOptions::blobs_above).
    pub blobs: u64,
    /// The files of contents that no message has. They are no damage: a write that runs or failed, or a message that was deleted a
    /// moment ago left them. The store removes them.
    pub orphans: Vec<PathBuf>,
    /// The entries of the metadata index.
    pub indexed: u64,
    /// The idempotency keys.
    pub keys: u64,
    /// The threads, including deleted ones.
    pub threads: u64,
    /// The provider aliases of messages.
    pub aliases: u64,
    /// The changes.
    pub changes: u64,
    /// The consumers of the change feed.
    pub consumers: u64,
    /// The pointers and sessions of agents in threads.
    pub sessions: u64,
    /// The runs of agents.
    pub attempts: u64,
    /// The audit records.
    pub audit: u64,
    /// All damage, in the order in which it was found. One fault may appear several times: as a page that cannot be
    /// read, and as the rows in it.
    pub damaged: Vec<Damage>,
}

impl Verification {
    /// Returns whether there is no damage.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.damaged.is_empty()
    }
}

/// A damaged row or page. Never shows content of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// The part of the store.
    pub part: Part,
    /// Its tenant, if that can be read.
    pub tenant: Option<TenantId>,
    /// Its thread, if that can be read.
    pub thread: Option<ThreadId>,
    /// Its message, if that can be read.
    pub message: Option<MessageId>,
    /// The description of the damage.
    pub reason: String,
}

/// A part of the store that can be damaged independently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Part {
    /// The file: its pages, tables and indexes.
    File,
    /// The row of the store.
    Store,
    /// A thread: its row, or its sequence numbers do not add up.
    Thread,
    /// The summary of a thread. It can be [rebuilt](throughline_core::threads::RebuildThread).
    Summary,
    /// A change event in the change feed.
    Change,
    /// The row of a message with its content, or a tombstone.
    Message,
    /// The chunks of an open message.
    Chunks,
    /// The index of metadata. [`Maintenance::rebuild_into`](crate::Maintenance::rebuild_into) builds it again.
    MetadataIndex,
    /// A provider alias of a message.
    Alias,
    /// The record of an idempotency key.
    Key,
    /// The cursor of a consumer, or its quarantine.
    Consumer,
    /// An agent session: a pointer, a session, an attempt, or the counters of an agent or runtime.
    Session,
    /// The audit log. [`layers::audit::verify`](throughline_core::audit) has the key and can also detect deliberate
    /// changes.
    Audit,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in [
            ("tenant", self.tenant.as_ref().map(TenantId::as_str)),
            ("thread", self.thread.as_ref().map(ThreadId::as_str)),
            ("message", self.message.as_ref().map(MessageId::as_str)),
        ] {
            if let Some(value) = value {
                write!(f, "{name} `{value}`, ")?;
            }
        }
        f.write_str(&self.reason)
    }
}
