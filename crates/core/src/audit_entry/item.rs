use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::{MessageId, Revision, ThreadId};

/// One operation of an audited call: the call itself, or an item of its batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuditItem {
    /// The operation by its camelCase name, such as `add` or `renameThread`.
    pub operation: Cow<'static, str>,
    /// The mode of an `updateContent`: `partial`, `final`, `abandon` or `edit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Cow<'static, str>>,
    /// The thread of the operation, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<ThreadId>,
    /// The messages of the operation: one, or those of an import.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<MessageId>,
    /// The revision of the message after the operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// The agent, the runtime or the consumer of the operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
}

impl AuditItem {
    /// The thread of these items, if all of them belong to one.
    pub(crate) fn only_thread(items: &[Self]) -> Option<&ThreadId> {
        let (first, rest) = items.split_first()?;
        let thread = first.thread.as_ref()?;
        rest.iter().all(|item| item.thread.as_ref() == Some(thread)).then_some(thread)
    }
}
