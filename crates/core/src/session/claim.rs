use serde::{Deserialize, Serialize};

use super::Runtime;
use crate::{
    id::{AttemptId, ProviderId},
    message::SessionGeneration,
};

/// Who wants to go on, and what it has found out about what it would go on with.
///
/// Resolve with what is known at first, look at the directory and the session that were answered, and begin with
/// what was found: see [`Reach`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Claimer {
    /// Whose sessions it can resume.
    pub provider: ProviderId,
    /// Where it runs. Nothing is like no other runtime, nothing included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<Runtime>,
    /// The generation that the work was queued under; where nothing is said, the present one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<SessionGeneration>,
    /// The run that is to be made again: what it had is offered, and nothing of another run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerun_of: Option<AttemptId>,
    /// Whether it wants to begin anew, whatever there is.
    #[serde(default)]
    pub force_fresh: bool,
    /// What it has found out about what it was offered.
    #[serde(default)]
    pub reach: Reach,
}

impl Claimer {
    /// A claim of the present generation, of everything that the runtime had.
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

    /// Of work that was queued under this generation.
    #[must_use]
    pub const fn queued_under(mut self, generation: SessionGeneration) -> Self {
        self.generation = Some(generation);
        self
    }

    /// To make this run again, now: a session that was reset since is offered only to who was [queued](Self::queued_under)
    /// before.
    #[must_use]
    pub fn rerunning(mut self, attempt: AttemptId) -> Self {
        self.rerun_of = Some(attempt);
        self
    }

    /// To begin anew.
    #[must_use]
    pub const fn fresh(mut self) -> Self {
        self.force_fresh = true;
        self
    }

    /// Having looked.
    #[must_use]
    pub const fn reaching(mut self, reach: Reach) -> Self {
        self.reach = reach;
        self
    }
}

/// What a claimer has found where it looked for what it was offered. The default: everything is as it should be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reach {
    /// The directory.
    #[serde(default)]
    pub directory: Directory,
    /// Whether what keeps the session is missing, or does not have it.
    #[serde(default)]
    pub session_missing: bool,
}

/// What became of the directory that was answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Directory {
    /// The claimer works in this very directory, however it is spelt.
    #[default]
    Same,
    /// The claimer works in another one.
    Elsewhere,
    /// It is not there any more.
    Gone,
}
