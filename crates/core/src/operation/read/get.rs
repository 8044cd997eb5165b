use serde::{Deserialize, Serialize};

use crate::{
    Message, MessageId, ThreadId,
    message::carries_nothing,
    operation::{
        Addressed, Verb,
        facts::{AnswerFacts, Facts, Split},
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

impl Facts for GetMessage {
    fn verbs(&self) -> &'static [Verb] {
        &[Verb::Read]
    }

    fn split_by_message(&self) -> Split {
        Split::Here
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
