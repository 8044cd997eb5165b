//! The state of an active run, which its closure and the runner share.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use throughline_core::{
    Persistence,
    ids::{SessionId, WorkDir},
    sessions::{Gap, RunBegun, RunReport, Withheld},
};
use tokio::{sync::watch, time::Instant};

use super::{
    begin::RunStart,
    stop::{StopReason, StopRequest},
};

pub(crate) struct RunState {
    pub(crate) db: Persistence,
    pub(crate) begun: RunBegun,
    /// How long the closure may continue after a request to stop.
    pub(crate) grace: Duration,
    pub(crate) assigned: Option<SessionId>,
    pub(crate) work_dir: Option<WorkDir>,
    pub(crate) gap: Option<Gap>,
    stop: watch::Sender<Option<StopRequest>>,
    pinned: Mutex<Option<(SessionId, Option<WorkDir>)>>,
    has_called_a_tool: AtomicBool,
}

impl RunState {
    pub(crate) fn new(db: Persistence, start: &RunStart, begun: RunBegun) -> Self {
        let RunStart { begin, grace, refused } = start;
        let resolution = &begun.resolution;
        let mut gap = resolution.gap.clone();
        // The runner forced a fresh session because the provider refused this one. The gap states that reason.
        if let Some(gap) = gap.as_mut().filter(|gap| gap.session.is_some() && gap.session == *refused) {
            gap.reason = Withheld::ArtifactMissing;
        }
        Self {
            db,
            grace: *grace,
            assigned: begin.assigned.clone().filter(|_| resolution.session.is_none()),
            work_dir: begin.work_dir.clone().or_else(|| resolution.work_dir.clone()),
            gap,
            stop: watch::Sender::new(None),
            pinned: Mutex::new(None),
            has_called_a_tool: AtomicBool::new(false),
            begun,
        }
    }

    /// Requests the run to stop. The first reason is kept, except that a lost lease replaces every other one. The earliest
    /// deadline is kept.
    pub(crate) fn request_stop(&self, reason: StopReason, deadline: Instant) {
        self.stop.send_modify(|request| match request {
            Some(request) => {
                if reason == StopReason::LeaseLost {
                    request.reason = reason;
                }
                request.deadline = request.deadline.min(deadline);
            }
            None => *request = Some(StopRequest { reason, deadline }),
        });
    }

    pub(crate) fn stop_reason(&self) -> Option<StopReason> {
        self.stop.borrow().map(|request| request.reason)
    }

    pub(crate) fn stop_requests(&self) -> watch::Receiver<Option<StopRequest>> {
        self.stop.subscribe()
    }

    pub(crate) fn record_tool_call(&self) {
        self.has_called_a_tool.store(true, Ordering::Release);
    }

    pub(crate) fn has_called_a_tool(&self) -> bool {
        self.has_called_a_tool.load(Ordering::Acquire)
    }

    pub(crate) fn set_pinned(&self, session: SessionId, work_dir: Option<WorkDir>) {
        *self.pinned.lock().unwrap_or_else(PoisonError::into_inner) = Some((session, work_dir));
    }

    pub(crate) fn pinned(&self) -> Option<(SessionId, Option<WorkDir>)> {
        self.pinned.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Adds the pinned session to a report without a session. The call that pinned it may have failed.
    pub(crate) fn completed(&self, mut report: RunReport) -> RunReport {
        if report.session.is_none()
            && let Some((session, work_dir)) = self.pinned()
        {
            report.session = Some(session);
            report.work_dir = report.work_dir.or(work_dir);
        }
        report
    }
}
