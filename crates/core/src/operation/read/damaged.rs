use serde::{Deserialize, Serialize};

use crate::{Effect, ErrorKind, Message, MessageId, PersistError, Result, Seq, ThreadId};

/// A message that is stored and cannot be read. A list that meets one says so beside what it shows, and hides no other.
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
    /// Its thread; `?` where the id of that cannot be read.
    pub thread: ThreadId,
    /// Its place in the thread, if that much can be read. One without a place may be told of by two pages.
    pub seq: Option<Seq>,
    /// Its id, if that much can be read.
    pub id: Option<MessageId>,
}

impl DamagedMessage {
    /// The error of what cannot go on without it: [`Corrupt`](ErrorKind::Corrupt), and nothing was applied.
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

/// The messages, if none of them is damaged.
pub(super) fn all_of(messages: Vec<Message>, damaged: &[DamagedMessage]) -> Result<Vec<Message>> {
    damaged.first().map_or(Ok(messages), |damaged| Err(damaged.to_error()))
}
