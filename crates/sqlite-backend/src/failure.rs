//! Why a decision or a statement of the writer did not come to its end.

use throughline_core::PersistError;
use throughline_engine::Halt;

use crate::error::EngineError;

/// Why a write was not applied.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It is refused, and changed nothing.
    Refused(PersistError),
    /// A statement failed; the writer decides what that means for the transaction.
    Engine(EngineError),
}

pub(crate) type Applied<T> = Result<T, Failure>;

impl From<PersistError> for Failure {
    fn from(error: PersistError) -> Self {
        Self::Refused(error)
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Engine(error.into())
    }
}

impl From<Halt<EngineError>> for Failure {
    fn from(halt: Halt<EngineError>) -> Self {
        match halt {
            Halt::Refused(error) => Self::Refused(error),
            Halt::Stopped(error) => Self::Engine(error),
        }
    }
}

impl From<Failure> for Halt<EngineError> {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(error) => Self::Refused(error),
            Failure::Engine(error) => Self::Stopped(error),
        }
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

impl From<Failure> for EngineError {
    /// Why a flush failed: by then nothing is refused by itself.
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(error) => Self::Refused(error),
            Failure::Engine(error) => error,
        }
    }
}

impl From<Failure> for PersistError {
    /// The error of a read.
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(error) => error,
            Failure::Engine(error) => error.into(),
        }
    }
}
