use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Binding, Failure};
use crate::{
    id::{SessionId, WorkDir},
    message::{SessionGeneration, SessionRevision},
};

/// What a claimer may go on with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resolution {
    /// The session to resume; nothing: begin a fresh one.
    pub session: Option<SessionId>,
    /// The directory to work in. It is answered to another runtime, too.
    pub work_dir: Option<WorkDir>,
    /// Why the latest session that is known was not offered; nothing where it was. There may be an older one in
    /// [`session`](Self::session) all the same.
    pub withheld: Option<Withheld>,
    /// What the user has to be told: that the agent does not remember. It is delivered to exactly one run, with the answer to
    /// [`BeginRun`](crate::operation::BeginRun); a look by [`ResolveSession`](crate::operation::ResolveSession) shows it and leaves it pending.
    pub gap: Option<Gap>,
    /// The generation that the claim is of: what work that is queued now has to name.
    pub generation: SessionGeneration,
    /// What it was decided on. [`BeginRun::expecting`](crate::operation::BeginRun::expecting) refuses a claim that is not up to date.
    pub revision: SessionRevision,
    /// What is kept; nothing where nothing ever was.
    pub binding: Option<Binding>,
}

/// Why a session is not offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Withheld {
    /// None is known.
    NoSession,
    /// There is only an id that a run was given which has not said that the session exists.
    Provisional,
    /// It is another provider's.
    ProviderMismatch,
    /// It was run elsewhere, or one of the two has not said where.
    RuntimeMismatch,
    /// It was run there, before that was set up anew.
    RootEpoch,
    /// It belongs to another generation: the sessions were reset since, or the thread was cleared.
    Generation,
    /// It was declared unusable for good.
    Retired,
    /// The last run on it failed in a way that it would fail again.
    Poisoned(Failure),
    /// What it is made of is missing where it was run.
    ArtifactMissing,
    /// The pointer to it was cleared.
    Cleared,
    /// Its directory is not there any more.
    WorkDirGone,
    /// The claimer works in another directory.
    WorkDirElsewhere,
    /// The claimer asked for a fresh one.
    ForcedFresh,
    /// The run that is to be made again had none, or failed before it had one.
    NothingToRerun,
    /// The run that is to be made again is not one of this agent in this thread.
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

/// A break in what the agent remembers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gap {
    /// The session that is not gone on with, where it has a name.
    pub session: Option<SessionId>,
    /// Why.
    pub reason: Withheld,
}
