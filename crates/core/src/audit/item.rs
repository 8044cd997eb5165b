use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::{MessageId, PersistResult, Revision, ThreadId, ThreadResult};

/// One operation of an audited call: the call itself, or an item of its batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuditItem {
    /// The operation by its camelCase name, such as `add` or `renameThread`.
    pub operation: Cow<'static, str>,
    /// Of an `updateContent`: `partial`, `final`, `abandon` or `edit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Cow<'static, str>>,
    /// The thread that it was about, where it was about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<ThreadId>,
    /// The messages that it named: one, or those of an import.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<MessageId>,
    /// The revision that the message had afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// The agent, the runtime or the consumer that it was of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
}

impl AuditItem {
    /// Takes the revisions over from what the store answered.
    pub(super) fn settle(items: &mut [Self], result: &PersistResult) {
        match result {
            PersistResult::Batch(batched) => {
                for (item, output) in items.iter_mut().zip(&batched.outputs) {
                    item.settle_one(output);
                }
            }
            single => {
                if let [item] = items {
                    item.settle_one(single);
                }
            }
        }
    }

    fn settle_one(&mut self, result: &PersistResult) {
        self.revision = revision(result);
        // Which message is the last one only the store knows.
        if let PersistResult::Thread(ThreadResult::TakeLast(taken)) = result
            && let Some(deleted) = &taken.deleted
        {
            self.messages = vec![deleted.id.clone()];
        }
    }
}

fn revision(result: &PersistResult) -> Option<Revision> {
    match result {
        PersistResult::Add(added) => Some(added.message.revision),
        PersistResult::Reserve(reserved) => Some(reserved.message.revision),
        PersistResult::UpdateContent(updated) => Some(updated.revision),
        PersistResult::Update(updated) => Some(updated.revision),
        PersistResult::Delete(deleted) => Some(deleted.revision),
        PersistResult::Thread(ThreadResult::TakeLast(taken)) => {
            taken.deleted.as_ref().map(|deleted| deleted.revision)
        }
        PersistResult::Batch(_)
        | PersistResult::Import(_)
        | PersistResult::Thread(_)
        | PersistResult::Read(_)
        | PersistResult::Consumer(_)
        | PersistResult::Session(_)
        | PersistResult::Replica(_) => None,
    }
}
