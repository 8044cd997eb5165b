//! Steps as operations of the store.

use throughline_core::{
    AgentId, ThreadId, Timestamp,
    ids::{AttemptId, SessionId, WorkDir},
    sessions::{
        AdoptSession, AdoptedPointer, AdoptedRun, AttemptState, BackfillRuntime, BeginRun, CancelRun,
        Claimer, ClearPointerIf, ConfirmRun, Directory, DropAgent, DropRuntime, FailRun, Failure, PinSession,
        Reach, RenewRun, ResetAgent, ResetSession, RetireSession, RunReport, Runtime, SessionArgs,
        SessionGeneration,
    },
};

use super::step::{
    AGENTS, At, Claim, DIRS, Found, How, LEASES, PROVIDERS, ROOTS, RUNTIMES, Report, SESSIONS, THREADS, Where,
};

macro_rules! ids {
    ($($name:ident: $of:ident -> $id:ty;)+) => {$(
        pub(super) fn $name(number: usize) -> $id {
            $of[number].parse().expect("a valid id")
        }
    )+};
}
ids! {
    agent: AGENTS -> AgentId;
    thread: THREADS -> ThreadId;
    session: SESSIONS -> SessionId;
    dir: DIRS -> WorkDir;
}

pub(super) fn attempt(id: &str) -> AttemptId {
    id.parse().expect("a valid id")
}

fn runtime((id, root): Where) -> Runtime {
    Runtime::new(RUNTIMES[id].parse().expect("a valid id"), ROOTS[root].parse().expect("a valid id"))
}

pub(super) fn claimer(claim: &Claim, generation: Option<u64>, source: Option<&str>) -> Claimer {
    let (directory, session_missing) = match claim.found {
        Found::Same => (Directory::Same, false),
        Found::Elsewhere => (Directory::Elsewhere, false),
        Found::DirectoryGone => (Directory::Gone, false),
        Found::SessionMissing => (Directory::Same, true),
    };
    Claimer {
        provider: PROVIDERS[claim.provider].parse().expect("a valid id"),
        runtime: claim.runtime.map(runtime),
        generation: generation.map(SessionGeneration::new),
        rerun_of: source.map(attempt),
        force_fresh: claim.fresh,
        reach: Reach { directory, session_missing },
    }
}

pub(super) fn begin(
    at: At,
    id: &str,
    claimer: Claimer,
    assigned: Option<usize>,
    work_dir: Option<usize>,
    lease: usize,
) -> SessionArgs {
    let mut begin = BeginRun::new(agent(at.0), thread(at.1), claimer)
        .named(attempt(id))
        .with_lease(std::time::Duration::from_millis(LEASES[lease]));
    begin.assigned = assigned.map(session);
    begin.work_dir = work_dir.map(dir);
    SessionArgs::Begin(begin)
}

pub(super) fn renew(at: At, id: &str) -> SessionArgs {
    SessionArgs::Renew(RenewRun { agent: agent(at.0), thread: thread(at.1), attempt: attempt(id) })
}

pub(super) fn pin(at: At, id: &str, number: usize, work_dir: Option<usize>) -> SessionArgs {
    let (agent, thread, attempt) = (agent(at.0), thread(at.1), attempt(id));
    let work_dir = work_dir.map(dir);
    SessionArgs::Pin(PinSession { agent, thread, attempt, session: session(number), work_dir })
}

pub(super) fn end(at: At, id: &str, how: How, report: &Report) -> SessionArgs {
    let (agent, thread, attempt) = (agent(at.0), thread(at.1), attempt(id));
    let report = RunReport {
        session: report.session.map(session),
        work_dir: report.dir.map(dir),
        artifact_missing: report.artifact_missing,
        retires: report.retires.map(session),
    };
    let failure = match how {
        How::Confirm => return SessionArgs::Confirm(ConfirmRun { agent, thread, attempt, report }),
        How::Cancel => return SessionArgs::Cancel(CancelRun { agent, thread, attempt, report }),
        How::FailKept => Failure::Network,
        How::FailPoisoned => Failure::ContextOverflow,
        How::FailMissing => Failure::SessionNotFound,
    };
    SessionArgs::Fail(FailRun { agent, thread, attempt, failure, detail: None, report })
}

pub(super) fn reset(at: At, expected: Option<u64>) -> SessionArgs {
    let expected = expected.map(SessionGeneration::new);
    SessionArgs::Reset(ResetSession { agent: agent(at.0), thread: thread(at.1), expected })
}

pub(super) fn retire(at: At, number: usize) -> SessionArgs {
    let (agent, thread) = (agent(at.0), thread(at.1));
    SessionArgs::Retire(RetireSession { agent, thread, session: session(number) })
}

pub(super) fn clear_if(at: At, number: usize, of: Option<Where>) -> SessionArgs {
    let (agent, thread) = (agent(at.0), thread(at.1));
    let runtime = of.map(runtime);
    SessionArgs::ClearIf(ClearPointerIf { agent, thread, session: session(number), runtime })
}

/// A pointer, and perhaps one run with its own session.
pub(super) fn adopt(
    at: At,
    number: usize,
    provider: usize,
    of: Option<Where>,
    run: Option<(&str, How, usize)>,
) -> SessionArgs {
    let (runtime, kept_by) = (
        of.map(runtime),
        PROVIDERS[provider].parse::<throughline_core::ids::ProviderId>().expect("a valid id"),
    );
    let runs = run.map(|(id, how, number)| AdoptedRun {
        id: attempt(id),
        provider: kept_by.clone(),
        // The run says where it was even where the pointer does not.
        runtime: Some(self::runtime(of.unwrap_or_default())),
        session: Some(session(number)),
        work_dir: None,
        state: match how {
            How::Confirm => AttemptState::Completed,
            How::Cancel => AttemptState::Cancelled,
            How::FailKept => AttemptState::Failed(Failure::Network),
            How::FailPoisoned => AttemptState::Failed(Failure::ContextOverflow),
            How::FailMissing => AttemptState::Failed(Failure::SessionNotFound),
        },
        started_at: Timestamp::from_micros(1),
        ended_at: Some(Timestamp::from_micros(2)),
    });
    let pointer =
        AdoptedPointer { session: session(number), provider: kept_by.clone(), runtime, work_dir: None };
    SessionArgs::Adopt(AdoptSession {
        agent: agent(at.0),
        thread: thread(at.1),
        pointer: Some(pointer),
        runs: runs.into_iter().collect(),
    })
}

pub(super) fn backfill(at: At, dry_run: bool) -> SessionArgs {
    SessionArgs::Backfill(BackfillRuntime { agent: agent(at.0), thread: thread(at.1), dry_run })
}

pub(super) fn reset_agent(number: usize) -> SessionArgs {
    SessionArgs::ResetAgent(ResetAgent { agent: agent(number) })
}

pub(super) fn drop_agent(number: usize) -> SessionArgs {
    SessionArgs::DropAgent(DropAgent { agent: agent(number) })
}

pub(super) fn drop_runtime(number: usize) -> SessionArgs {
    SessionArgs::DropRuntime(DropRuntime { runtime: RUNTIMES[number].parse().expect("a valid id") })
}
