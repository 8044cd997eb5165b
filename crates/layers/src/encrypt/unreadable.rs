use std::{error::Error, fmt};

use super::KeyId;
use throughline_core::{ErrorKind, MessageId, PersistError, ThreadId};

/// Why something in the store cannot be read: the [source](std::error::Error::source) of the errors of the layer.
///
/// ```
/// use throughline_layers::encrypt::Unreadable;
///
/// assert_eq!(Unreadable::Plaintext.to_string(), "it is not encrypted, and this pipeline accepts nothing that is not");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unreadable {
    /// It was changed, or moved from another place: another tenant, thread, message, field or revision.
    Forged,
    /// It is not encrypted, and has to be.
    Plaintext,
    /// It looks encrypted, and is not well-formed.
    Malformed,
    /// Pieces of the content are missing, doubled, or in another order than they were written in.
    Pieces,
    /// It is under a key that the ring does not have.
    UnknownKey(KeyId),
    /// The key of the thread was destroyed: nobody can read it any more.
    Shredded,
    /// There is no key of the thread, although something is under one.
    NoThreadKey,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forged => f.write_str("it was changed, or moved from another place"),
            Self::Plaintext => {
                f.write_str("it is not encrypted, and this pipeline accepts nothing that is not")
            }
            Self::Malformed => f.write_str("it looks encrypted, and is not well-formed"),
            Self::Pieces => f.write_str("pieces are missing, doubled, or in another order"),
            Self::UnknownKey(id) => write!(f, "it is under the key `{id}`, which the key ring does not have"),
            Self::Shredded => f.write_str("the key of the thread was destroyed"),
            Self::NoThreadKey => f.write_str("there is no key of the thread"),
        }
    }
}

impl Error for Unreadable {}

impl Unreadable {
    /// The error of a call that met it: `what` is the place, which may hold names and no content.
    pub(super) fn at(self, what: &str, thread: &ThreadId, message: Option<&MessageId>) -> PersistError {
        // What was destroyed on purpose is not damaged.
        let kind = if self == Self::Shredded { ErrorKind::Gone } else { ErrorKind::Corrupt };
        let detail = match message {
            Some(_) => format!("the {what} of a message cannot be decrypted: {self}"),
            None => format!("the {what} of thread `{thread}` cannot be decrypted: {self}"),
        };
        let error = PersistError::new(kind, detail).with_source(self);
        match message {
            Some(message) => error.about(thread, message),
            None => error,
        }
    }
}
