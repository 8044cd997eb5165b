use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Binding, Failure};
use crate::{
    id::{SessionId, WorkDir},
    message::{SessionGeneration, SessionRevision},
};

/// The session that a claimer may resume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resolution {
    /// The session to resume. `None` for a fresh session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// The directory to work in. It is also offered to another runtime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_dir: Option<WorkDir>,
    /// The reason why the latest known session is withheld. `None` if it is offered. [`session`](Self::session) can still have an
    /// older one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withheld: Option<Withheld>,
    /// The gap in the memory of the agent, to show to the user. The answer to [`BeginRun`](crate::operation::BeginRun) delivers
    /// it to exactly one run; [`ResolveSession`](crate::operation::ResolveSession) shows it without delivering it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<Gap>,
    /// The session generation of the claim. Work that is queued now must name it.
    pub generation: SessionGeneration,
    /// The session revision of the decision. See [`BeginRun::expecting`](crate::operation::BeginRun::expecting).
    pub revision: SessionRevision,
    /// The state of the sessions, in a box because it is large. `None` if there never were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding: Option<Box<Binding>>,
}

/// The reason why a session is withheld.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Withheld {
    /// No session is known.
    NoSession,
    /// There is only a provisional session id, which no run has confirmed.
    Provisional,
    /// The session belongs to another provider.
    ProviderMismatch,
    /// The session ran in another runtime, or one of the two runtimes is unknown.
    RuntimeMismatch,
    /// The session ran in an earlier installation of the runtime.
    RootEpoch,
    /// The session belongs to another generation: the sessions were reset or the thread was cleared since.
    Generation,
    /// The session is retired.
    Retired,
    /// The last run on the session failed, and another run would fail again.
    Poisoned(Failure),
    /// The data of the session is missing in its runtime.
    ArtifactMissing,
    /// The pointer to the session was cleared.
    Cleared,
    /// The directory of the session does not exist any longer.
    WorkDirGone,
    /// The claimer works in another directory.
    WorkDirElsewhere,
    /// The claimer required a fresh session.
    ForcedFresh,
    /// The run to repeat had no session, or failed before it had one.
    NothingToRerun,
    /// The run to repeat does not belong to this agent in this thread.
    WrongScope,
    /// The thread was deleted.
    ThreadDeleted,
}

impl Withheld {
    /// The camelCase name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoSession => "noSession",
            Self::Provisional => "provisional",
            Self::ProviderMismatch => "providerMismatch",
            Self::RuntimeMismatch => "runtimeMismatch",
            Self::RootEpoch => "rootEpoch",
            Self::Generation => "generation",
            Self::Retired => "retired",
            Self::Poisoned(_) => "poisoned",
            Self::ArtifactMissing => "artifactMissing",
            Self::Cleared => "cleared",
            Self::WorkDirGone => "workDirGone",
            Self::WorkDirElsewhere => "workDirElsewhere",
            Self::ForcedFresh => "forcedFresh",
            Self::NothingToRerun => "nothingToRerun",
            Self::WrongScope => "wrongScope",
            Self::ThreadDeleted => "threadDeleted",
        }
    }
}

impl fmt::Display for Withheld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A break in the memory of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gap {
    /// The session that the run does not resume, if its id is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// The reason.
    pub reason: Withheld,
}
