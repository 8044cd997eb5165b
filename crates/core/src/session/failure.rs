use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a run failed: what decides whether its session may be resumed.
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
    /// The network was cut.
    Network,
    /// The provider takes no more for now.
    RateLimited,
    /// The provider failed.
    ProviderUnavailable,
    /// The credentials or settings are wrong or missing.
    Configuration,
    /// It took too long.
    Timeout,
    /// The runtime went away.
    RuntimeOffline,
    /// The runtime came back and knows nothing of the run.
    RuntimeRecovered,
    /// A tool failed.
    Tool,
    /// The session has grown beyond what its provider takes.
    ContextOverflow,
    /// The session is too large to be resumed.
    ResumeOversized,
    /// The run ended at the limit of its steps.
    IterationLimit,
    /// The provider refuses what is in the session.
    InvalidRequest,
    /// The session answers with a set phrase and nothing else.
    FallbackMessage,
    /// The session goes on and says nothing any more.
    SemanticInactivity,
    /// The provider has said that there is no such session. Only that is evidence: an empty answer is none.
    SessionNotFound,
    /// Something else, which says nothing of the session.
    Other,
}

/// What a failure means for the session of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AfterFailure {
    /// It is as good as it was.
    Kept,
    /// It would fail again: it is not resumed until a run has succeeded on it.
    Poisoned,
    /// It is not there: it is not resumed until a run has succeeded on it.
    Missing,
}

impl Failure {
    /// What it means for the session.
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
