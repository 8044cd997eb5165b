use serde::{Deserialize, Serialize};

use crate::{MessageId, Role, ThreadId, message::carries_nothing, operation::Origin};

/// Lists by what names the messages of a thread are known to their providers, by the bytes of the messages' ids; those of one
/// message in the order in which they were taken down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListAliases {
    /// The thread.
    pub thread: ThreadId,
    /// Of this message only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<MessageId>,
    /// Where the page before ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<AliasCursor>,
    /// How many at most: 1 to [`ReadPage::MAX_LIMIT`](crate::operation::ReadPage::MAX_LIMIT).
    pub limit: u32,
}

impl ListAliases {
    /// The first `limit` names in the thread.
    #[must_use]
    pub const fn new(thread: ThreadId, limit: u32) -> Self {
        Self { thread, message: None, after: None, limit }
    }

    /// Of this message only.
    #[must_use]
    pub fn of_message(mut self, message: MessageId) -> Self {
        self.message = Some(message);
        self
    }
}

/// A place in the list of names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AliasCursor {
    /// The message of the last name shown.
    pub message: MessageId,
    /// The number of that name, which is the store's.
    pub n: u64,
}

/// By what name a message is known to its provider, as [`ResolveId`](crate::operation::ResolveId) or an import took it down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Alias {
    /// The message. It may not have been written yet, or have been deleted since.
    pub message: MessageId,
    /// Who says it.
    pub role: Role,
    /// What the provider calls it.
    pub origin: Origin,
}

/// The answer to [`ListAliases`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Aliases {
    /// The thread.
    pub thread: ThreadId,
    /// The names, those of the present generation of the thread.
    pub aliases: Vec<Alias>,
    /// Where the next page begins; nothing when this was the last one.
    pub next: Option<AliasCursor>,
}

carries_nothing!(ListAliases { thread: _, message: _, after: _, limit: _ });
carries_nothing!(Aliases { thread: _, aliases: _, next: _ });
