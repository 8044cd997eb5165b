//! The results of a run: the answers of its closure, and the answers for the host.

use std::{error::Error as StdError, fmt};

use throughline_core::{
    BoxError, Effect, InvalidId, PersistArgs, PersistError, PersistResult,
    ids::{AttemptId, SessionId},
    sessions::{FailRun, Failure, Resolution, RunReport, SessionChanged},
};

use super::StopReason;

/// The answer of a closure whose work succeeded.
#[derive(Debug, Clone, PartialEq)]
pub struct RunSuccess<T> {
    pub(super) output: T,
    pub(super) report: RunReport,
    pub(super) writes: Vec<PersistArgs>,
}

impl<T> RunSuccess<T> {
    /// Returns a success with this output, for the host.
    #[must_use]
    pub const fn new(output: T) -> Self {
        let report = RunReport { session: None, work_dir: None, artifact_missing: false, retires: None };
        Self { output, report, writes: Vec::new() }
    }

    /// Sets the report of the run. A report without a session gets the [pinned](super::Run::pin_session) one.
    #[must_use]
    pub fn with_report(mut self, report: RunReport) -> Self {
        self.report = report;
        self
    }

    /// Adds a write, such as the final message. The store commits all writes and the pointer together, or nothing. It applies the
    /// writes in the order in which they were added.
    #[must_use]
    pub fn with_write(mut self, write: impl Into<PersistArgs>) -> Self {
        self.writes.push(write.into());
        self
    }
}

/// The answer of a closure whose work failed.
///
/// ```
/// use throughline_core::sessions::Failure;
/// use throughline_session_runs::RunFailure;
///
/// let failure = RunFailure::new(Failure::RateLimited).with_cause("the provider takes no more today");
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
    /// Returns a failure of this kind.
    #[must_use]
    pub const fn new(failure: Failure) -> Self {
        let report = RunReport { session: None, work_dir: None, artifact_missing: false, retires: None };
        Self { failure, report, writes: Vec::new(), cause: None }
    }

    /// Returns the failure of a run whose session the provider does not know. Use it only if the provider has said so: the runner
    /// then repeats the run with a fresh session.
    #[must_use]
    pub const fn session_refused() -> Self {
        Self::new(Failure::SessionNotFound)
    }

    /// Sets the cause. The store keeps the first [`FailRun::MAX_DETAIL`] bytes of its text with the run.
    #[must_use]
    pub fn with_cause(mut self, cause: impl Into<BoxError>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Sets the report of the run. A report without a session gets the [pinned](super::Run::pin_session) one.
    #[must_use]
    pub fn with_report(mut self, report: RunReport) -> Self {
        self.report = report;
        self
    }

    /// Adds a write, such as the end of an open message. The store commits all writes and the failure together, or nothing.
    #[must_use]
    pub fn with_write(mut self, write: impl Into<PersistArgs>) -> Self {
        self.writes.push(write.into());
        self
    }

    /// Returns the kind of the failure.
    #[must_use]
    pub const fn failure(&self) -> Failure {
        self.failure
    }

    /// Returns the text of the cause that the store keeps.
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

/// An error of the store has no verdict on the session.
impl From<PersistError> for RunFailure {
    fn from(error: PersistError) -> Self {
        Self::new(Failure::Other).with_cause(error)
    }
}

/// An invalid id from the provider has no verdict on the session.
impl From<InvalidId> for RunFailure {
    fn from(error: InvalidId) -> Self {
        Self::new(Failure::Other).with_cause(error)
    }
}

/// A confirmed run.
#[derive(Debug, Clone, PartialEq)]
pub struct CompletedRun<T> {
    /// The output of the closure.
    pub output: T,
    /// The id of the run.
    pub attempt: AttemptId,
    /// The decision of the store when the run began.
    pub resolution: Resolution,
    /// The session record after the run, and whether the pointer moved.
    pub changed: SessionChanged,
    /// The answers to the writes, in the order of the writes.
    pub written: Vec<PersistResult>,
    /// The session that the provider refused, if the runner repeated the run with a fresh one.
    pub refused: Option<SessionId>,
}

/// A run that was not confirmed. Its pointer has not moved, except to a session that the run has
/// [pinned](super::Run::pin_session).
#[derive(Debug)]
#[non_exhaustive]
pub enum RunError<T> {
    /// The run did not begin, and the runner did not call the closure. The error is [`Busy`](throughline_core::ErrorKind::Busy) if
    /// other runs took too long, and [`Cancelled`](throughline_core::ErrorKind::Cancelled) if the host stopped the run before.
    NotBegun(PersistError),
    /// The closure returned a failure.
    Failed {
        /// The id of the run.
        attempt: AttemptId,
        /// The answer of the closure.
        failure: RunFailure,
        /// The error of the call that records the failure. After such an error the run ends with its lease.
        record_error: Option<PersistError>,
    },
    /// The closure panicked. The store records a failure.
    Panicked {
        /// The id of the run.
        attempt: AttemptId,
        /// The message of the panic.
        message: String,
        /// The error of the call that records the failure.
        record_error: Option<PersistError>,
    },
    /// The run was stopped. The store records a cancellation, unless another run has taken over the lease.
    Stopped {
        /// The id of the run.
        attempt: AttemptId,
        /// The reason of the stop.
        reason: StopReason,
        /// The output of a closure that succeeded too late. The store has none of its writes.
        output: Option<T>,
        /// The error of the call that records the cancellation.
        record_error: Option<PersistError>,
    },
    /// The closure succeeded, but the store refused the writes or the end, or its answer was lost. After a refusal the store
    /// records a failure.
    NotConfirmed {
        /// The id of the run.
        attempt: AttemptId,
        /// The output of the closure.
        output: T,
        /// The error of the confirmation. Its [effect](PersistError::effect) states whether the store has the writes.
        error: PersistError,
    },
}

impl<T> RunError<T> {
    /// Returns the id of the run, if the run began.
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

    /// Returns the effect of the writes that the closure returned.
    #[must_use]
    pub fn effect(&self) -> Effect {
        let effect_of = |error: &Option<PersistError>| error.as_ref().map(PersistError::effect);
        match self {
            Self::NotBegun(_) | Self::Panicked { .. } | Self::Stopped { .. } => Effect::NotApplied,
            Self::Failed { failure, .. } if failure.writes.is_empty() => Effect::NotApplied,
            Self::Failed { record_error, .. } => effect_of(record_error).unwrap_or(Effect::Applied),
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
            Self::Stopped { attempt, reason, .. } => write!(f, "the run `{attempt}` was stopped: {reason}"),
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
