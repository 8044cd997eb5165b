use serde::{Deserialize, Serialize};

use crate::{
    Message, MessageId, ThreadId,
    message::carries_nothing,
    operation::{
        Addressed, Verb,
        facts::{AnswerFacts, Facts, Split, StatesFacts},
    },
};

/// Reads one message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GetMessage {
    /// The thread.
    pub thread: ThreadId,
    /// The message.
    pub id: MessageId,
}

carries_nothing!(GetMessage { thread: _, id: _ });

crate::operation::addressed_by_fields!(GetMessage);

impl StatesFacts for GetMessage {
    fn facts(&self) -> Facts<'_> {
        Facts { split_by_message: Split::Here, ..Facts::needing(&[Verb::Read]) }
    }
}

impl Addressed for Option<Message> {
    fn thread(&self) -> Option<&ThreadId> {
        self.as_ref().map(|message| &message.thread)
    }

    fn message(&self) -> Option<&MessageId> {
        self.as_ref().map(|message| &message.id)
    }
}

impl AnswerFacts for Option<Message> {
    fn messages(&self) -> &[Message] {
        self.as_slice()
    }
}
