use std::{error::Error, fmt};

use throughline_core::{ErrorKind, PersistError};

/// Why a write is not applied. The transaction has undone it.
#[derive(Debug)]
pub enum Halt<S> {
    /// The write is refused, and the caller gets this error.
    Refused(PersistError),
    /// The source could not load a row: the caller must load it and apply the write again, or end the transaction.
    Stopped(S),
}

impl<S> From<PersistError> for Halt<S> {
    fn from(error: PersistError) -> Self {
        Self::Refused(error)
    }
}

impl<S> Halt<S> {
    /// Whether the write is refused because a row is damaged.
    pub(crate) fn is_corrupt(&self) -> bool {
        matches!(self, Self::Refused(error) if error.kind() == ErrorKind::Corrupt)
    }

    /// Adds the index of the refused item of a batch.
    pub(crate) fn with_batch_index(self, index: usize) -> Self {
        match self {
            Self::Refused(error) => Self::Refused(error.with_batch_index(index)),
            stopped @ Self::Stopped(_) => stopped,
        }
    }
}

impl<S: fmt::Display> fmt::Display for Halt<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => fmt::Display::fmt(error, f),
            Self::Stopped(stop) => write!(f, "the row source stopped: {stop}"),
        }
    }
}

impl<S: Error + 'static> Error for Halt<S> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Refused(error) => Some(error),
            Self::Stopped(stop) => Some(stop),
        }
    }
}
