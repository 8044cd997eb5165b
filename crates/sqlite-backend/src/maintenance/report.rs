//! What a check of the store has found.

use std::fmt;

use throughline_core::{MessageId, TenantId, ThreadId};

/// What was checked, and what is wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verification {
    /// The messages that were checked, damaged ones among them; not those that were deleted.
    pub messages: u64,
    /// The rows that deleted messages have left.
    pub deleted: u64,
    /// The pieces of open messages.
    pub pieces: u64,
    /// The idempotency keys.
    pub keys: u64,
    /// The threads, deleted ones among them.
    pub threads: u64,
    /// The names that providers have for messages.
    pub names: u64,
    /// The changes.
    pub changes: u64,
    /// The consumers of the changes.
    pub consumers: u64,
    /// What is kept of agents in threads.
    pub sessions: u64,
    /// The runs of agents.
    pub attempts: u64,
    /// The entries of the log of who did what.
    pub audit: u64,
    /// Everything that is wrong, in the order in which it was found. One fault may show in several places: a page that
    /// cannot be read is named, and so are the rows in it.
    pub damaged: Vec<Damage>,
}

impl Verification {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.damaged.is_empty()
    }
}

/// Something that is wrong. Never shows what a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// The part of the store.
    pub part: Part,
    /// Whose it is, if that can be read.
    pub tenant: Option<TenantId>,
    /// The thread that it is of, if that can be read.
    pub thread: Option<ThreadId>,
    /// The message that it is of, if that can be read.
    pub message: Option<MessageId>,
    /// What is wrong with it.
    pub what: String,
}

/// A part of the store that can be damaged by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Part {
    /// The file: its pages, tables and indexes.
    File,
    /// What the store keeps of itself as a whole.
    Store,
    /// A thread: its row, or its places do not add up.
    Thread,
    /// What lists show of a thread. It can be [made again](throughline_core::threads::RebuildThread).
    Entry,
    /// A change that is kept for who follows them.
    Change,
    /// The row of a message, or of a deleted one.
    Message,
    /// What was written to an open message.
    Chunks,
    /// By what name a message is known to its provider.
    Name,
    /// What is kept under an idempotency key.
    Key,
    /// What a consumer of the changes keeps: its cursor, or what it has passed over.
    Consumer,
    /// What is kept of agent sessions: where an agent goes on, a session, a run, or a count of a whole agent or runtime.
    Session,
    /// The log of who did what. Whether somebody has changed it who knew how is for
    /// [`layers::audit::verify`](throughline_core::audit) to say, which has the key.
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
        f.write_str(&self.what)
    }
}
