//! The calls that are logged, and where each leaves a message.

use throughline_core::{Effect, PersistError};

/// How far a message has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// It is not there, or not there any more.
    Absent,
    /// It is reserved, and empty.
    Reserved,
    /// It streams, and has the first half of its text.
    Half,
    /// It is final, and has all of its text.
    Whole,
}

/// A call on one or several messages that takes all of them to one [`Stage`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    /// Adds them: one, or several in a batch.
    Add,
    /// Reserves one.
    Reserve,
    /// Writes the first half of a reserved one.
    Flush,
    /// Writes the second half of one, and finishes it.
    Finish,
    /// Deletes one.
    Delete,
}

impl Call {
    /// Each of them.
    pub const ALL: [Self; 5] = [Self::Add, Self::Reserve, Self::Flush, Self::Finish, Self::Delete];

    /// Where it leaves a message.
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

/// What a call was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It was applied.
    Applied,
    /// Nothing of it was applied, and nothing will be.
    Refused,
    /// Nobody knows.
    Unknown,
}

impl Outcome {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::Applied, Self::Refused, Self::Unknown];

    /// Of an answer.
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
