use serde::{Deserialize, Serialize};

use super::page;
use crate::{
    AgentId, ThreadId,
    message::{CarriesContent, ContentField, ContentFieldMut, FieldValue, FieldValueMut, carries_nothing},
    operation::{
        ReadPage, SessionSubject, Verb,
        facts::{AnswerFacts, Facts, Limits, Split, StatesFacts},
    },
    session::{Attempt, Claimer, Resolution},
};

/// Reads the session that a claimer may resume. It takes no lease and delivers no gap. [`BeginRun`](crate::operation::BeginRun)
/// decides by the same rules in its own transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResolveSession {
    /// The agent.
    pub agent: AgentId,
    /// The thread.
    pub thread: ThreadId,
    /// The claimer.
    pub claimer: Claimer,
}

carries_nothing!(ResolveSession { agent: _, thread: _, claimer: _ });

/// The answer to [`ResolveSession`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionResolved {
    /// The agent.
    pub agent: AgentId,
    /// The thread.
    pub thread: ThreadId,
    /// The session to resume, and the reasons.
    pub resolution: Resolution,
}

carries_nothing!(SessionResolved { agent: _, thread: _, resolution: _ });

/// Lists the runs of an agent in a thread, the latest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListAttempts {
    /// The agent.
    pub agent: AgentId,
    /// The thread.
    pub thread: ThreadId,
    /// Only the runs before this [number](Attempt::number).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// The most entries to return: 1 to [`ReadPage::MAX_LIMIT`].
    pub limit: u32,
    /// The most bytes of the answer: 1 to [`ReadPage::MAX_BYTES`]. The list ends before the run that would exceed them, but shows
    /// at least one run.
    #[serde(default = "page::default_bytes", skip_serializing_if = "page::is_default_bytes")]
    pub max_bytes: u32,
}

impl ListAttempts {
    /// Returns a list of the latest `limit` runs.
    #[must_use]
    pub const fn new(agent: AgentId, thread: ThreadId, limit: u32) -> Self {
        Self { agent, thread, before: None, limit, max_bytes: ReadPage::DEFAULT_BYTES }
    }

    /// Sets the most bytes of the answer.
    #[must_use]
    pub const fn with_max_bytes(mut self, max_bytes: u32) -> Self {
        self.max_bytes = max_bytes;
        self
    }

    /// Returns the list of the runs before those of an answer. `None` after the last one.
    #[must_use]
    pub fn next(&self, answer: &Attempts) -> Option<Self> {
        let last = answer.attempts.last().filter(|_| answer.more)?;
        Some(Self { before: Some(last.number), ..self.clone() })
    }
}

carries_nothing!(ListAttempts { agent: _, thread: _, before: _, limit: _, max_bytes: _ });

/// The answer to [`ListAttempts`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempts {
    /// The agent.
    pub agent: AgentId,
    /// The thread.
    pub thread: ThreadId,
    /// The runs, the latest first.
    pub attempts: Vec<Attempt>,
    /// Whether there are earlier runs. A list can be shorter than its limit and not be the last one.
    pub more: bool,
}

impl CarriesContent for Attempts {
    fn content_fields(&self) -> Vec<ContentField<'_>> {
        let Self { agent: _, thread, attempts, more: _ } = self;
        let details = attempts.iter().filter_map(|attempt| detail(attempt).as_deref());
        details.map(|why| ContentField { thread, message: None, value: FieldValue::Reason(why) }).collect()
    }

    fn content_fields_mut(&mut self) -> Vec<ContentFieldMut<'_>> {
        let Self { agent: _, thread, attempts, more: _ } = self;
        let thread = &*thread;
        let details = attempts.iter_mut().filter_map(|attempt| detail_mut(attempt).as_mut());
        details
            .map(|why| ContentFieldMut { thread, message: None, value: FieldValueMut::Reason(why) })
            .collect()
    }
}

/// The only part of a run that can repeat content.
const fn detail(attempt: &Attempt) -> &Option<String> {
    let Attempt {
        id: _,
        number: _,
        generation: _,
        provider: _,
        runtime: _,
        resumes: _,
        assigned: _,
        session: _,
        work_dir: _,
        rerun_of: _,
        origin: _,
        state: _,
        detail,
        started_at: _,
        ended_at: _,
    } = attempt;
    detail
}

const fn detail_mut(attempt: &mut Attempt) -> &mut Option<String> {
    &mut attempt.detail
}

crate::operation::addressed_by_thread!(ResolveSession, SessionResolved, ListAttempts, Attempts);

impl StatesFacts for ResolveSession {
    fn facts(&self) -> Facts<'_> {
        Facts {
            session: Some(SessionSubject::of_run(&self.agent, None)),
            split_by_message: Split::Here,
            ..Facts::needing(&[Verb::Read])
        }
    }
}

impl AnswerFacts for SessionResolved {
    fn answers(&self, asked: Option<&SessionSubject>) -> bool {
        asked == Some(&SessionSubject::of_run(&self.agent, None))
    }
}

impl StatesFacts for ListAttempts {
    fn facts(&self) -> Facts<'_> {
        Facts {
            session: Some(SessionSubject::of_run(&self.agent, None)),
            limits: Limits::page(self.limit, self.max_bytes),
            split_by_message: Split::Here,
            ..Facts::needing(&[Verb::Read])
        }
    }
}

impl AnswerFacts for Attempts {
    fn answers(&self, asked: Option<&SessionSubject>) -> bool {
        asked == Some(&SessionSubject::of_run(&self.agent, None))
    }
}
