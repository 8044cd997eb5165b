//! What a run comes to: what its closure says, and what the host is told.

use std::{error::Error as StdError, fmt};

use super::Stop;
use throughline_core::{
    BoxError, Effect, InvalidId, PersistArgs, PersistError, PersistResult,
    ids::{AttemptId, SessionId},
    sessions::{FailRun, RunReport, SessionChanged},
    sessions::{Failure, Resolution},
};

/// What a closure answers when it has done its work.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished<T> {
    pub(super) output: T,
    pub(super) report: RunReport,
    pub(super) writes: Vec<PersistArgs>,
}

impl<T> Finished<T> {
    /// It is done, and this came out of it.
    #[must_use]
    pub const fn new(output: T) -> Self {
        let report = RunReport { session: None, work_dir: None, artifact_missing: false, retires: None };
        Self { output, report, writes: Vec::new() }
    }

    /// With more to say of itself than the session, which is known where it was [learned](super::Run::learned).
    #[must_use]
    pub fn reporting(mut self, report: RunReport) -> Self {
        self.report = report;
        self
    }

    /// With this write, such as the final message: committed with the pointer, or not at all. Several are made in the order
    /// in which they are given.
    #[must_use]
    pub fn writing(mut self, write: impl Into<PersistArgs>) -> Self {
        self.writes.push(write.into());
        self
    }
}

/// What a closure answers when it has failed.
///
/// ```
/// use throughline_core::sessions::Failure;
/// use throughline_session_runs::RunFailure;
///
/// let failure = RunFailure::new(Failure::RateLimited).because("the provider takes no more today");
/// assert_eq!(failure.failure(), Failure::RateLimited);
/// assert_eq!(failure.to_string(), "the run failed (rateLimited): the provider takes no more today");
/// ```
#[derive(Debug)]
pub struct RunFailure {
    pub(super) failure: Failure,
    pub(super) report: RunReport,
    pub(super) writes: Vec<PersistArgs>,
    cause: Option<BoxError>,
}

impl RunFailure {
    /// It has failed in this way.
    #[must_use]
    pub const fn new(failure: Failure) -> Self {
        let report = RunReport { session: None, work_dir: None, artifact_missing: false, retires: None };
        Self { failure, report, writes: Vec::new(), cause: None }
    }

    /// The provider has said that there is no such session as the run was to resume. Only say so where it did: it is what a
    /// run is made again for, with a fresh session.
    #[must_use]
    pub const fn session_refused() -> Self {
        Self::new(Failure::SessionNotFound)
    }

    /// Because of this. Its text is kept with the run, the first [`FailRun::MAX_DETAIL`] bytes of it.
    #[must_use]
    pub fn because(mut self, cause: impl Into<BoxError>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// With more to say of itself.
    #[must_use]
    pub fn reporting(mut self, report: RunReport) -> Self {
        self.report = report;
        self
    }

    /// With this write, such as the end of a message that was begun: committed with the failure, or not at all.
    #[must_use]
    pub fn writing(mut self, write: impl Into<PersistArgs>) -> Self {
        self.writes.push(write.into());
        self
    }

    /// In which way it has failed.
    #[must_use]
    pub const fn failure(&self) -> Failure {
        self.failure
    }

    /// What is kept of the cause.
    pub(super) fn detail(&self) -> Option<String> {
        let mut detail = self.cause.as_ref()?.to_string();
        detail.truncate(detail.floor_char_boundary(FailRun::MAX_DETAIL));
        Some(detail)
    }
}

impl fmt::Display for RunFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the run failed ({})", self.failure)?;
        match &self.cause {
            Some(cause) => write!(f, ": {cause}"),
            None => Ok(()),
        }
    }
}

impl StdError for RunFailure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.as_deref().map(|cause| cause as &(dyn StdError + 'static))
    }
}

/// What the store refuses in the midst of a run says nothing of its session.
impl From<PersistError> for RunFailure {
    fn from(error: PersistError) -> Self {
        Self::new(Failure::Other).because(error)
    }
}

/// So does a name that the provider gave and that is none.
impl From<InvalidId> for RunFailure {
    fn from(error: InvalidId) -> Self {
        Self::new(Failure::Other).because(error)
    }
}

/// A run that was confirmed.
#[derive(Debug, Clone, PartialEq)]
pub struct Ran<T> {
    /// What its closure answered.
    pub output: T,
    /// Its name.
    pub attempt: AttemptId,
    /// What it went on with.
    pub resolution: Resolution,
    /// What is kept by now.
    pub changed: SessionChanged,
    /// The answers to its writes, in their order.
    pub written: Vec<PersistResult>,
    /// The session that was refused, where it was made again with a fresh one.
    pub refused: Option<SessionId>,
}

/// A run that was not confirmed: its pointer is where it was before, or where its [pin](super::Run::learned) has put it.
#[derive(Debug)]
#[non_exhaustive]
pub enum RunError<T> {
    /// It never began, and its closure was not called. [`Busy`](throughline_core::ErrorKind::Busy) where another run took too long,
    /// [`Cancelled`](throughline_core::ErrorKind::Cancelled) where it was asked to stop before.
    NotBegun(PersistError),
    /// Its closure failed.
    Failed {
        /// Its name.
        attempt: AttemptId,
        /// What the closure answered.
        failure: RunFailure,
        /// Why that is not kept; the run ends with its lease then.
        unrecorded: Option<PersistError>,
    },
    /// Its closure panicked. It is kept as failed.
    Panicked {
        /// Its name.
        attempt: AttemptId,
        /// What it said.
        message: String,
        /// Why that is not kept.
        unrecorded: Option<PersistError>,
    },
    /// It was stopped. It is kept as cancelled, unless another run has taken its place.
    Stopped {
        /// Its name.
        attempt: AttemptId,
        /// Why.
        why: Stop,
        /// What its closure answered all the same, and nothing was made of.
        output: Option<T>,
        /// Why that is not kept.
        unrecorded: Option<PersistError>,
    },
    /// Its closure is done, and its end was refused or its answer lost: its writes, or the store. A refused run is kept as failed.
    NotConfirmed {
        /// Its name.
        attempt: AttemptId,
        /// What the closure answered.
        output: T,
        /// Why. Its [effect](PersistError::effect) says whether the writes were made.
        error: PersistError,
    },
}

impl<T> RunError<T> {
    /// The run; nothing where it never began.
    #[must_use]
    pub const fn attempt(&self) -> Option<&AttemptId> {
        match self {
            Self::NotBegun(_) => None,
            Self::Failed { attempt, .. }
            | Self::Panicked { attempt, .. }
            | Self::Stopped { attempt, .. }
            | Self::NotConfirmed { attempt, .. } => Some(attempt),
        }
    }

    /// What became of the writes that its closure handed back.
    #[must_use]
    pub fn effect(&self) -> Effect {
        let of = |unrecorded: &Option<PersistError>| unrecorded.as_ref().map(PersistError::effect);
        match self {
            Self::NotBegun(_) | Self::Panicked { .. } | Self::Stopped { .. } => Effect::NotApplied,
            Self::Failed { failure, .. } if failure.writes.is_empty() => Effect::NotApplied,
            Self::Failed { unrecorded, .. } => of(unrecorded).unwrap_or(Effect::Applied),
            Self::NotConfirmed { error, .. } => error.effect(),
        }
    }
}

impl<T> fmt::Display for RunError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotBegun(error) => write!(f, "the run was not begun: {error}"),
            Self::Failed { attempt, failure, .. } => write!(f, "{failure}, run `{attempt}`"),
            Self::Panicked { attempt, message, .. } => write!(f, "{message}, run `{attempt}`"),
            Self::Stopped { attempt, why, .. } => write!(f, "the run `{attempt}` was stopped: {why}"),
            Self::NotConfirmed { attempt, error, .. } => {
                write!(f, "the run `{attempt}` was not confirmed: {error}")
            }
        }
    }
}

impl<T: fmt::Debug> StdError for RunError<T> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::NotBegun(error) | Self::NotConfirmed { error, .. } => Some(error),
            Self::Failed { failure, .. } => Some(failure),
            Self::Panicked { .. } | Self::Stopped { .. } => None,
        }
    }
}
