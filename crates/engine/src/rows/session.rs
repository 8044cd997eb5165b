use throughline_core::{
    AgentId, TenantId,
    backend::sessions::{BoundRuntime, KnownSession, Wanted},
    ids::{AttemptId, ProviderId, RuntimeId, SessionId},
    sessions::{Runtime, SessionGeneration},
};

use super::ThreadKey;

/// The key of the counters of an agent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentKey {
    /// The tenant.
    pub tenant: TenantId,
    /// The agent.
    pub agent: AgentId,
}

/// The key of the drop counter of a runtime.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuntimeKey {
    /// The tenant.
    pub tenant: TenantId,
    /// The runtime.
    pub runtime: RuntimeId,
}

/// The key of the session head of an agent in a thread.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionHeadKey {
    /// The thread.
    pub thread: ThreadKey,
    /// The agent.
    pub agent: AgentId,
    /// The number of earlier drops: a dropped agent starts with other rows.
    pub incarnation: u64,
}

/// The key of a session.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey {
    /// The head.
    pub head: SessionHeadKey,
    /// The session.
    pub session: SessionId,
}

/// The key of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptKey {
    /// The head.
    pub head: SessionHeadKey,
    /// The attempt.
    pub attempt: AttemptId,
}

/// Sessions of an agent in a thread by their values.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SessionQuery {
    /// The head.
    pub head: SessionHeadKey,
    /// The kind of the range.
    pub range: SessionRange,
    /// The most sessions to return.
    pub limit: u64,
}

/// The sessions of a [`SessionQuery`], the latest first.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SessionRange {
    /// Those with a value, up to this generation: by generation, then by number.
    Newest(SessionGeneration),
    /// The usable sessions that match, by number.
    Usable {
        /// The generation.
        generation: SessionGeneration,
        /// The provider.
        provider: ProviderId,
        /// The runtime.
        runtime: Runtime,
        /// The number of drops of the runtime.
        incarnation: u64,
    },
}

impl SessionRange {
    /// Whether a session is in the range.
    #[must_use]
    pub fn matches(&self, session: &KnownSession) -> bool {
        let Some(value) = &session.value else { return false };
        match self {
            Self::Newest(generation) => value.generation <= *generation,
            Self::Usable { generation, provider, runtime, incarnation } => {
                let is_bound =
                    |bound: &BoundRuntime| bound.runtime == *runtime && bound.incarnation == *incarnation;
                session.is_usable()
                    && value.generation == *generation
                    && value.provider == *provider
                    && value.runtime.as_ref().is_some_and(is_bound)
            }
        }
    }

    /// Returns the range of usable sessions for a claim.
    #[must_use]
    pub fn usable(wanted: &Wanted<'_>) -> Self {
        let Wanted { generation, provider, runtime, incarnation, besides: _ } = *wanted;
        Self::Usable { generation, provider: provider.clone(), runtime: runtime.clone(), incarnation }
    }
}
