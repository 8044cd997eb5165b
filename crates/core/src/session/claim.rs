use serde::{Deserialize, Serialize};

use super::Runtime;
use crate::{
    id::{AttemptId, ProviderId},
    message::SessionGeneration,
};

/// The request of an agent to resume a session, with its provider, its runtime and its findings.
///
/// First resolve with the known values. Then check the returned directory and session, and begin with the findings: see
/// [`Reach`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Claimer {
    /// The provider whose sessions the claimer can resume.
    pub provider: ProviderId,
    /// The runtime of the claimer. `None` never matches, not even a session without a runtime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<Runtime>,
    /// The session generation under which the work was queued. `None` for the present one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<SessionGeneration>,
    /// The run to repeat: only its session is offered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerun_of: Option<AttemptId>,
    /// Whether to start a fresh session in any case.
    #[serde(default)]
    pub force_fresh: bool,
    /// The findings about the offered session.
    #[serde(default)]
    pub reach: Reach,
}

impl Claimer {
    /// Returns a claim of the present generation for all sessions of the runtime.
    #[must_use]
    pub fn new(provider: ProviderId, runtime: Runtime) -> Self {
        Self {
            provider,
            runtime: Some(runtime),
            generation: None,
            rerun_of: None,
            force_fresh: false,
            reach: Reach::default(),
        }
    }

    /// Sets the session generation under which the work was queued.
    #[must_use]
    pub const fn queued_under(mut self, generation: SessionGeneration) -> Self {
        self.generation = Some(generation);
        self
    }

    /// Sets the run to repeat. A session that was reset since is only offered to work that was [queued](Self::queued_under)
    /// before the reset.
    #[must_use]
    pub fn rerunning(mut self, attempt: AttemptId) -> Self {
        self.rerun_of = Some(attempt);
        self
    }

    /// Requires a fresh session.
    #[must_use]
    pub const fn fresh(mut self) -> Self {
        self.force_fresh = true;
        self
    }

    /// Sets the findings.
    #[must_use]
    pub const fn reaching(mut self, reach: Reach) -> Self {
        self.reach = reach;
        self
    }
}

/// The findings of a claimer about the offered session. By default, everything is available.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reach {
    /// The directory.
    #[serde(default)]
    pub directory: Directory,
    /// Whether the session, or the data of its provider, is missing.
    #[serde(default)]
    pub session_missing: bool,
}

/// The state of the offered directory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Directory {
    /// The claimer works in this directory, in any spelling.
    #[default]
    Same,
    /// The claimer works in another directory.
    Elsewhere,
    /// The directory does not exist any longer.
    Gone,
}
