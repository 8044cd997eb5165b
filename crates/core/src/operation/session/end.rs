use serde::{Deserialize, Serialize};

use crate::{
    AgentId, ThreadId,
    id::{AttemptId, SessionId, WorkDir},
    message::{carries_content, carries_nothing, debug_without_text},
    operation::{
        facts::{Facts, StatesFacts},
        session::on_thread,
    },
    session::Failure,
};

/// The report of a run at its end. The default report does not move the pointer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RunReport {
    /// The session that the provider actually ran, which can differ from the session to resume. `None` keeps the session of
    /// [`PinSession`](crate::operation::PinSession).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// The directory of the run. `None` for the directory with which it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_dir: Option<WorkDir>,
    /// Whether the run found that the data of the session is missing. No claimer can then resume it.
    #[serde(default)]
    pub artifact_missing: bool,
    /// A session to retire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retires: Option<SessionId>,
}

impl RunReport {
    /// Returns the report of a run of this session.
    #[must_use]
    pub fn of(session: SessionId) -> Self {
        Self { session: Some(session), ..Self::default() }
    }

    /// Sets the directory.
    #[must_use]
    pub fn in_directory(mut self, work_dir: WorkDir) -> Self {
        self.work_dir = Some(work_dir);
        self
    }

    /// Reports that the data of the session is missing.
    #[must_use]
    pub const fn without_artifact(mut self) -> Self {
        self.artifact_missing = true;
        self
    }

    /// Retires this session.
    #[must_use]
    pub fn retiring(mut self, session: SessionId) -> Self {
        self.retires = Some(session);
        self
    }
}

/// Ends a run with success: releases its lease and moves the pointer to its session. In a [`Batch`](crate::operation::Batch) with
/// the end of its message, both are one commit.
///
/// # Errors
/// [`Stale`](crate::ErrorKind::Stale) if the run has ended or lost its lease, or if the sessions were reset since it began. In
/// the last case the run still holds its lease; [`CancelRun`] ends it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConfirmRun {
    /// The agent.
    pub agent: AgentId,
    /// The thread.
    pub thread: ThreadId,
    /// The run.
    pub attempt: AttemptId,
    /// The report of the run.
    #[serde(default)]
    pub report: RunReport,
}

carries_nothing!(ConfirmRun { agent: _, thread: _, attempt: _, report: _ });

/// Ends a run with a failure and releases its lease. A reported session can be resumed, unless the failure makes it unusable: see
/// [`Failure::session`]. Without a report, the failure applies to the session that the run resumed.
///
/// # Errors
/// [`Stale`](crate::ErrorKind::Stale) if the run has ended or lost its lease.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FailRun {
    /// The agent.
    pub agent: AgentId,
    /// The thread.
    pub thread: ThreadId,
    /// The run.
    pub attempt: AttemptId,
    /// The cause of the failure.
    pub failure: Failure,
    /// The text of the failure, which can repeat content. At most [`MAX_DETAIL`](Self::MAX_DETAIL) bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The report of the run.
    #[serde(default)]
    pub report: RunReport,
}

debug_without_text!(FailRun { agent, thread, attempt, failure, report } unshown { detail });

impl FailRun {
    /// The longest detail: 4096 bytes.
    pub const MAX_DETAIL: usize = 4096;

    /// Returns a failure without a detail or a report, for [`Persistence::on_session`](crate::Persistence::on_session).
    #[must_use]
    pub fn new(agent: AgentId, thread: ThreadId, attempt: AttemptId, failure: Failure) -> Self {
        Self { agent, thread, attempt, failure, detail: None, report: RunReport::default() }
    }

    /// Sets the detail.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Sets the report.
    #[must_use]
    pub fn with_report(mut self, report: RunReport) -> Self {
        self.report = report;
        self
    }
}

carries_content!(
    FailRun { agent: _, thread, attempt: _, failure: _, detail, report: _ } for (thread) => [], each [Reason(detail)]
);

/// Ends a run that was stopped on purpose, and releases its lease. A reported session can be resumed.
///
/// # Errors
/// [`Stale`](crate::ErrorKind::Stale) if the run has ended or lost its lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CancelRun {
    /// The agent.
    pub agent: AgentId,
    /// The thread.
    pub thread: ThreadId,
    /// The run.
    pub attempt: AttemptId,
    /// The report of the run.
    #[serde(default)]
    pub report: RunReport,
}

carries_nothing!(CancelRun { agent: _, thread: _, attempt: _, report: _ });

/// Records the session of a run while it runs. Call it as soon as the session can be resumed: if the process dies or the run is
/// cancelled, a later run resumes the session.
///
/// A cancelled run without a report can still pin its session. The pointer then moves unless a later run has moved it.
///
/// # Errors
/// [`Stale`](crate::ErrorKind::Stale) if the run has ended otherwise or lost its lease, or if the sessions were reset since it
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
    /// The directory. `None` for the directory with which the run began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_dir: Option<WorkDir>,
}

carries_nothing!(PinSession { agent: _, thread: _, attempt: _, session: _, work_dir: _ });

crate::operation::addressed_by_thread!(ConfirmRun, FailRun, CancelRun, PinSession);

impl StatesFacts for ConfirmRun {
    fn facts(&self) -> Facts<'_> {
        Facts { settles: true, ..on_thread(&self.agent, Some(&self.attempt)) }
    }
}

impl StatesFacts for FailRun {
    fn facts(&self) -> Facts<'_> {
        Facts { settles: true, ..on_thread(&self.agent, Some(&self.attempt)) }
    }
}

impl StatesFacts for CancelRun {
    fn facts(&self) -> Facts<'_> {
        Facts { settles: true, ..on_thread(&self.agent, Some(&self.attempt)) }
    }
}

impl StatesFacts for PinSession {
    fn facts(&self) -> Facts<'_> {
        Facts { grows: true, ..on_thread(&self.agent, Some(&self.attempt)) }
    }
}
