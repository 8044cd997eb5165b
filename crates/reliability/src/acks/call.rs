//! The logged calls, and the stage in which each leaves a message.

use throughline_core::{Effect, PersistError};

/// The stage of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// It does not exist, or was deleted.
    Absent,
    /// It is reserved and empty.
    Reserved,
    /// It is streaming and has the first half of its text.
    Half,
    /// It is final and has its whole text.
    Whole,
}

/// A call on one or several messages that moves all of them to one [`Stage`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    /// Adds one message, or several in a batch.
    Add,
    /// Reserves a message.
    Reserve,
    /// Writes the first half of a reserved message.
    Flush,
    /// Writes the second half of a message and finishes it.
    Finish,
    /// Deletes a message.
    Delete,
}

impl Call {
    /// All calls.
    pub const ALL: [Self; 5] = [Self::Add, Self::Reserve, Self::Flush, Self::Finish, Self::Delete];

    /// Returns the stage in which the call leaves a message.
    #[must_use]
    pub const fn leads_to(self) -> Stage {
        match self {
            Self::Add | Self::Finish => Stage::Whole,
            Self::Reserve => Stage::Reserved,
            Self::Flush => Stage::Half,
            Self::Delete => Stage::Absent,
        }
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Reserve => "reserve",
            Self::Flush => "flush",
            Self::Finish => "finish",
            Self::Delete => "delete",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|call| call.as_str() == name)
    }
}

/// The outcome of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It was applied.
    Applied,
    /// It was not applied and will not be.
    Refused,
    /// It may have been applied.
    Unknown,
}

impl Outcome {
    /// All outcomes.
    pub const ALL: [Self; 3] = [Self::Applied, Self::Refused, Self::Unknown];

    /// Returns the outcome of an answer.
    pub fn of<T>(answer: &Result<T, PersistError>) -> Self {
        match answer.as_ref().map_err(PersistError::effect) {
            Ok(_) | Err(Effect::Applied) => Self::Applied,
            Err(Effect::NotApplied) => Self::Refused,
            Err(Effect::Unknown) => Self::Unknown,
        }
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == name)
    }
}
