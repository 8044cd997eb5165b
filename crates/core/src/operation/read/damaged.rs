use serde::{Deserialize, Serialize};

use crate::{Effect, ErrorKind, Message, MessageId, PersistError, Result, Seq, ThreadId};

/// A stored message that the store cannot decode. A list reports it next to its readable messages.
///
/// ```
/// use throughline_core::{ErrorKind, Seq, messages::DamagedMessage};
///
/// let damaged = DamagedMessage { thread: "t".parse()?, id: Some("m".parse()?), seq: Some(Seq::new(7)) };
/// let error = damaged.to_error();
/// assert_eq!((error.kind(), error.detail()), (ErrorKind::Corrupt, "the stored message of seq 7 is damaged"));
/// # Ok::<(), throughline_core::PersistError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DamagedMessage {
    /// The thread of the message; `?` if the id of the thread is damaged.
    pub thread: ThreadId,
    /// The sequence number, if it is readable. Two pages can report a damaged message without a sequence number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<Seq>,
    /// The id of the message, if it is readable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<MessageId>,
}

impl DamagedMessage {
    /// Returns the error of an operation that needs the message: [`Corrupt`](ErrorKind::Corrupt), with the effect `NotApplied`.
    #[must_use]
    pub fn to_error(&self) -> PersistError {
        let detail = match self.seq {
            Some(seq) => format!("the stored message of seq {} is damaged", seq.get()),
            None => "a stored message is damaged".to_owned(),
        };
        let error = PersistError::new(ErrorKind::Corrupt, detail).with_effect(Effect::NotApplied);
        match &self.id {
            Some(id) => error.about(&self.thread, id),
            None => error.about_thread(&self.thread),
        }
    }
}

/// Returns the messages, or the error of the first damaged one.
pub(super) fn all_of(messages: Vec<Message>, damaged: &[DamagedMessage]) -> Result<Vec<Message>> {
    damaged.first().map_or(Ok(messages), |damaged| Err(damaged.to_error()))
}
