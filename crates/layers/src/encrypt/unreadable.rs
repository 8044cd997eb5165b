use std::{error::Error, fmt};

use super::KeyId;
use throughline_core::{ErrorKind, MessageId, PersistError, ThreadId};

/// The reason why stored data cannot be decrypted: the [source](std::error::Error::source) of the layer's errors.
///
/// ```
/// use throughline_layers::encrypt::Unreadable;
///
/// assert_eq!(Unreadable::Plaintext.to_string(), "the data is not encrypted, and this pipeline accepts no plaintext");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unreadable {
    /// The ciphertext was changed, or moved from another tenant, thread, message, field or revision.
    Forged,
    /// The data is in plaintext, which the pipeline does not accept.
    Plaintext,
    /// The data looks encrypted, but is malformed.
    Malformed,
    /// Chunks of the content are missing, repeated or out of order.
    Chunks,
    /// The data is under a key that the key ring does not have.
    UnknownKey(KeyId),
    /// The key of the thread was destroyed: the data is permanently unreadable.
    Shredded,
    /// The data is under a thread key, but the thread has no key.
    NoThreadKey,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forged => f.write_str("the ciphertext was changed or moved from another record"),
            Self::Plaintext => {
                f.write_str("the data is not encrypted, and this pipeline accepts no plaintext")
            }
            Self::Malformed => f.write_str("the data looks encrypted but is malformed"),
            Self::Chunks => f.write_str("chunks are missing, repeated or out of order"),
            Self::UnknownKey(id) => {
                write!(f, "the data is under the key `{id}`, which the key ring does not have")
            }
            Self::Shredded => f.write_str("the key of the thread was destroyed"),
            Self::NoThreadKey => f.write_str("the thread has no key"),
        }
    }
}

impl Error for Unreadable {}

impl Unreadable {
    /// Returns the error of a call that met this reason. `field` names the field, without content.
    pub(super) fn at(self, field: &str, thread: &ThreadId, message: Option<&MessageId>) -> PersistError {
        // The destruction of a key is intended, so it is no damage.
        let kind = if self == Self::Shredded { ErrorKind::Gone } else { ErrorKind::Corrupt };
        let detail = match message {
            Some(_) => format!("the {field} of a message cannot be decrypted: {self}"),
            None => format!("the {field} of thread `{thread}` cannot be decrypted: {self}"),
        };
        let error = PersistError::new(kind, detail).with_source(self);
        match message {
            Some(message) => error.about(thread, message),
            None => error,
        }
    }
}
