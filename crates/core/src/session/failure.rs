use std::fmt;

use serde::{Deserialize, Serialize};

/// The cause of a failed run, which decides whether its session can be resumed.
///
/// ```
/// use throughline_core::sessions::{AfterFailure, Failure};
///
/// assert_eq!(Failure::Network.session(), AfterFailure::Kept);
/// assert_eq!(Failure::ContextOverflow.session(), AfterFailure::Poisoned);
/// assert_eq!(Failure::SessionNotFound.session(), AfterFailure::Missing);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Failure {
    /// The network failed.
    Network,
    /// The provider limits the rate of requests.
    RateLimited,
    /// The provider failed.
    ProviderUnavailable,
    /// Credentials or settings are wrong or missing.
    Configuration,
    /// The run timed out.
    Timeout,
    /// The runtime went offline.
    RuntimeOffline,
    /// The runtime restarted and does not know the run.
    RuntimeRecovered,
    /// A tool failed.
    Tool,
    /// The session is larger than the context of its provider.
    ContextOverflow,
    /// The session is too large to be resumed.
    ResumeOversized,
    /// The run reached its limit of steps.
    IterationLimit,
    /// The provider refuses the data in the session.
    InvalidRequest,
    /// The session only returns a fixed fallback message.
    FallbackMessage,
    /// The session continues without useful output.
    SemanticInactivity,
    /// The provider stated that the session does not exist. An empty answer is not enough.
    SessionNotFound,
    /// Another cause, without a conclusion about the session.
    Other,
}

/// The consequence of a failure for the session of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AfterFailure {
    /// The session can be resumed.
    Kept,
    /// Another run would fail again: the session cannot be resumed until a run succeeds on it.
    Poisoned,
    /// The session is missing: it cannot be resumed until a run succeeds on it.
    Missing,
}

impl Failure {
    /// The consequence of the failure for the session.
    #[must_use]
    pub const fn session(self) -> AfterFailure {
        match self {
            Self::Network
            | Self::RateLimited
            | Self::ProviderUnavailable
            | Self::Configuration
            | Self::Timeout
            | Self::RuntimeOffline
            | Self::RuntimeRecovered
            | Self::Tool
            | Self::Other => AfterFailure::Kept,
            Self::ContextOverflow
            | Self::ResumeOversized
            | Self::IterationLimit
            | Self::InvalidRequest
            | Self::FallbackMessage
            | Self::SemanticInactivity => AfterFailure::Poisoned,
            Self::SessionNotFound => AfterFailure::Missing,
        }
    }

    /// The camelCase name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::RateLimited => "rateLimited",
            Self::ProviderUnavailable => "providerUnavailable",
            Self::Configuration => "configuration",
            Self::Timeout => "timeout",
            Self::RuntimeOffline => "runtimeOffline",
            Self::RuntimeRecovered => "runtimeRecovered",
            Self::Tool => "tool",
            Self::ContextOverflow => "contextOverflow",
            Self::ResumeOversized => "resumeOversized",
            Self::IterationLimit => "iterationLimit",
            Self::InvalidRequest => "invalidRequest",
            Self::FallbackMessage => "fallbackMessage",
            Self::SemanticInactivity => "semanticInactivity",
            Self::SessionNotFound => "sessionNotFound",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
