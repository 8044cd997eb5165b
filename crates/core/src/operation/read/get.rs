use serde::{Deserialize, Serialize};

use crate::{MessageId, ThreadId, message::carries_nothing};

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
