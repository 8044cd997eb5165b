use serde::{Deserialize, Serialize};

use crate::{
    MessageId, Role, ThreadId,
    message::carries_nothing,
    operation::{
        Origin, Verb,
        facts::{AnswerFacts, Facts, Limits, Split, StatesFacts},
    },
};

/// Lists the provider aliases of the messages of a thread. They are in the byte order of the message ids; the aliases of one
/// message are in the order in which the store recorded them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListAliases {
    /// The thread.
    pub thread: ThreadId,
    /// Only the aliases of this message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<MessageId>,
    /// The end of the previous page. `None` for the first page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<AliasCursor>,
    /// The most entries to return: 1 to [`ReadPage::MAX_LIMIT`](crate::operation::ReadPage::MAX_LIMIT).
    pub limit: u32,
}

impl ListAliases {
    /// Returns a list of the first `limit` aliases of the thread.
    #[must_use]
    pub const fn new(thread: ThreadId, limit: u32) -> Self {
        Self { thread, message: None, after: None, limit }
    }

    /// Lists only the aliases of this message.
    #[must_use]
    pub fn of_message(mut self, message: MessageId) -> Self {
        self.message = Some(message);
        self
    }
}

/// A cursor in a list of aliases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AliasCursor {
    /// The message of the last alias on the page.
    pub message: MessageId,
    /// The number of that alias, which the store assigns.
    pub n: u64,
}

/// A provider alias of a message, which [`ResolveId`](crate::operation::ResolveId) or an import recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Alias {
    /// The message. It can be unwritten or deleted.
    pub message: MessageId,
    /// The author of the message.
    pub role: Role,
    /// The provider's ids of the message.
    pub origin: Origin,
}

/// The answer to [`ListAliases`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Aliases {
    /// The thread.
    pub thread: ThreadId,
    /// The aliases of the present generation of the thread.
    pub aliases: Vec<Alias>,
    /// The start of the next page. `None` after the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<AliasCursor>,
}

carries_nothing!(ListAliases { thread: _, message: _, after: _, limit: _ });
carries_nothing!(Aliases { thread: _, aliases: _, next: _ });

crate::operation::addressed_by_thread!(ListAliases, Aliases);

impl StatesFacts for ListAliases {
    fn facts(&self) -> Facts<'_> {
        Facts {
            limits: Limits::items(self.limit),
            split_by_message: Split::Here,
            ..Facts::needing(&[Verb::Read])
        }
    }
}

impl AnswerFacts for Aliases {}
