use serde::{Deserialize, Serialize};

use crate::message::debug_without_text;
use crate::{
    AgentId, ThreadId,
    id::{AttemptId, SessionId, WorkDir},
    message::{CarriesContent, ContentField, ContentFieldMut, FieldValue, FieldValueMut, carries_nothing},
    session::Failure,
};

/// What a run says of itself when it ends. The default says nothing: the pointer stays where it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RunReport {
    /// The session that its provider said it ran, which may be another one than it was asked to resume. One that was said by
    /// [`PinSession`](crate::operation::PinSession) stands where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// The directory that it worked in; the one that it began with where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_dir: Option<WorkDir>,
    /// Whether what the session is made of was looked for and is missing: it is known then and not offered.
    #[serde(default)]
    pub artifact_missing: bool,
    /// A session that is never to be offered again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retires: Option<SessionId>,
}

impl RunReport {
    /// It ran this session.
    #[must_use]
    pub fn of(session: SessionId) -> Self {
        Self { session: Some(session), ..Self::default() }
    }

    /// In this directory.
    #[must_use]
    pub fn in_directory(mut self, work_dir: WorkDir) -> Self {
        self.work_dir = Some(work_dir);
        self
    }

    /// What the session is made of is missing.
    #[must_use]
    pub const fn without_artifact(mut self) -> Self {
        self.artifact_missing = true;
        self
    }

    /// This session is never to be offered again.
    #[must_use]
    pub fn retiring(mut self, session: SessionId) -> Self {
        self.retires = Some(session);
        self
    }
}

/// A run succeeded: it gives its lease back, and the pointer moves to what it ran, whole. In a
/// [`Batch`](crate::operation::Batch) beside the end of its message both are one commit.
///
/// Refused as [`Stale`](crate::ErrorKind::Stale) where it has ended already, was taken over, or the sessions were reset
/// since it began. The last of these still holds its lease: [`CancelRun`] ends it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConfirmRun {
    /// The agent.
    pub agent: AgentId,
    /// The thread.
    pub thread: ThreadId,
    /// The run.
    pub attempt: AttemptId,
    /// What it says of itself.
    #[serde(default)]
    pub report: RunReport,
}

carries_nothing!(ConfirmRun { agent: _, thread: _, attempt: _, report: _ });

/// A run failed: it gives its lease back. A session that it reported is gone on with, unless the failure says that it is of
/// no use: see [`Failure::session`]. Without a report the failure counts against the session that the run resumed.
///
/// Refused as [`Stale`](crate::ErrorKind::Stale) where it has ended already or was taken over.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FailRun {
    /// The agent.
    pub agent: AgentId,
    /// The thread.
    pub thread: ThreadId,
    /// The run.
    pub attempt: AttemptId,
    /// Why.
    pub failure: Failure,
    /// What it failed with, which may repeat content. At most [`MAX_DETAIL`](Self::MAX_DETAIL) bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What it says of itself.
    #[serde(default)]
    pub report: RunReport,
}

debug_without_text!(FailRun { agent, thread, attempt, failure, report } unshown { detail });

impl FailRun {
    /// The longest detail, in bytes.
    pub const MAX_DETAIL: usize = 4096;

    /// A failure without a detail or a report, for [`Persistence::on_session`](crate::Persistence::on_session).
    #[must_use]
    pub fn new(agent: AgentId, thread: ThreadId, attempt: AttemptId, failure: Failure) -> Self {
        Self { agent, thread, attempt, failure, detail: None, report: RunReport::default() }
    }

    /// With what it failed with.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// With what the run says of itself.
    #[must_use]
    pub fn with_report(mut self, report: RunReport) -> Self {
        self.report = report;
        self
    }
}

impl CarriesContent for FailRun {
    fn content_fields(&self) -> Vec<ContentField<'_>> {
        let Self { agent: _, thread, attempt: _, failure: _, detail, report: _ } = self;
        detail
            .iter()
            .map(|why| ContentField { thread, message: None, value: FieldValue::Reason(why) })
            .collect()
    }

    fn content_fields_mut(&mut self) -> Vec<ContentFieldMut<'_>> {
        let Self { agent: _, thread, attempt: _, failure: _, detail, report: _ } = self;
        let thread = &*thread;
        detail
            .iter_mut()
            .map(|why| ContentFieldMut { thread, message: None, value: FieldValueMut::Reason(why) })
            .collect()
    }
}

/// A run was stopped on purpose: it gives its lease back, and what it had reported is gone on with.
///
/// Refused as [`Stale`](crate::ErrorKind::Stale) where it has ended already or was taken over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CancelRun {
    /// The agent.
    pub agent: AgentId,
    /// The thread.
    pub thread: ThreadId,
    /// The run.
    pub attempt: AttemptId,
    /// What it says of itself.
    #[serde(default)]
    pub report: RunReport,
}

carries_nothing!(CancelRun { agent: _, thread: _, attempt: _, report: _ });

/// A run says in its midst which session it runs. To be said once that can be resumed: if the run dies, or is cancelled, it is.
///
/// A cancelled run that has reported none may still say it; the pointer then moves unless a later run has moved it. Refused as
/// [`Stale`](crate::ErrorKind::Stale) where the run has ended otherwise, was taken over, or the sessions were reset since it
/// began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PinSession {
    /// The agent.
    pub agent: AgentId,
    /// The thread.
    pub thread: ThreadId,
    /// The run.
    pub attempt: AttemptId,
    /// The session.
    pub session: SessionId,
    /// The directory; the one that the run began with where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_dir: Option<WorkDir>,
}

carries_nothing!(PinSession { agent: _, thread: _, attempt: _, session: _, work_dir: _ });
