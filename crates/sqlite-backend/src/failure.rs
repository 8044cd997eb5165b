//! The reasons why a decision or a statement of the writer did not complete.

use throughline_core::PersistError;
use throughline_engine::Halt;

use crate::error::EngineError;

/// The reason why a write was not applied.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The write was refused and changed nothing.
    Refused(PersistError),
    /// A statement failed; the writer decides the consequence for the transaction.
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
    /// Converts the failure of a flush: at that point no single write is refused.
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(error) => Self::Refused(error),
            Failure::Engine(error) => error,
        }
    }
}

impl From<Failure> for PersistError {
    /// Converts the failure of a read.
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(error) => error,
            Failure::Engine(error) => error.into(),
        }
    }
}
