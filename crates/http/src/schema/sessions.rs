//! The schemas of agent sessions.

#![expect(dead_code, reason = "only schemas")]

use serde_json::Value;
use utoipa::ToSchema;

use super::messages::Lease;

/// A runtime of agents, with the epoch of its root directory.
#[derive(ToSchema)]
pub(crate) struct Runtime {
    id: String,
    root: String,
}

/// The request of an agent to resume a session.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Claimer {
    provider: String,
    /// The runtime of the claimer. Without one, no session is offered.
    runtime: Option<Runtime>,
    /// The session generation under which the work was queued.
    generation: Option<u64>,
    /// The run to repeat.
    rerun_of: Option<String>,
    /// Whether to start a fresh session in any case.
    #[schema(required = false)]
    force_fresh: bool,
    #[schema(required = false)]
    reach: Reach,
}

/// The findings of a claimer about the offered session.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Reach {
    #[schema(required = false)]
    directory: Directory,
    #[schema(required = false)]
    session_missing: bool,
}

/// The state of the offered directory.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) enum Directory {
    Same,
    Elsewhere,
    Gone,
}

/// The session that a claimer may resume.
#[derive(ToSchema)]
pub(crate) struct SessionResolved {
    agent: String,
    thread: String,
    resolution: Resolution,
}

/// The decision about a session.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Resolution {
    /// The session to resume.
    #[schema(nullable = false)]
    session: Option<String>,
    #[schema(nullable = false)]
    work_dir: Option<String>,
    /// The reason why the latest known session is withheld.
    withheld: Option<Value>,
    #[schema(nullable = false)]
    gap: Option<Gap>,
    generation: u64,
    revision: u64,
    #[schema(nullable = false)]
    binding: Option<Binding>,
}

/// A break in the memory of an agent.
#[derive(ToSchema)]
pub(crate) struct Gap {
    #[schema(nullable = false)]
    session: Option<String>,
    /// The reason.
    reason: Value,
}

/// The state of the sessions of an agent in a thread.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Binding {
    agent: String,
    thread: String,
    #[schema(nullable = false)]
    pointer: Option<Pointer>,
    generation: u64,
    cause: String,
    revision: u64,
    #[schema(nullable = false)]
    running: Option<RunLease>,
    /// Microseconds since 1970.
    created_at: i64,
    /// Microseconds since 1970.
    updated_at: i64,
}

/// The record of the session that an agent resumes.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Pointer {
    session: String,
    provider: String,
    #[schema(nullable = false)]
    runtime: Option<Runtime>,
    #[schema(nullable = false)]
    work_dir: Option<String>,
    generation: u64,
    state: String,
    #[schema(nullable = false)]
    attempt: Option<String>,
}

/// The current run and its lease.
#[derive(ToSchema)]
pub(crate) struct RunLease {
    attempt: String,
    lease: Lease,
}

/// The begin of a run.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct BeginRun {
    claimer: Claimer,
    /// The id of the run. Without one, the server generates it.
    attempt: Option<String>,
    /// The id of a fresh session, if the host assigns it.
    assigned: Option<String>,
    work_dir: Option<String>,
    origin: Option<HandOff>,
    /// The required session revision.
    expected: Option<u64>,
    /// The lease in milliseconds. By default one minute.
    lease: Option<u64>,
}

/// Work that one agent passes to another.
#[derive(ToSchema)]
pub(crate) struct HandOff {
    agent: String,
    thread: String,
    attempt: Option<String>,
}

/// The answer to the begin of a run.
#[derive(ToSchema)]
pub(crate) struct RunBegun {
    agent: String,
    thread: String,
    attempt: String,
    number: u64,
    resolution: Resolution,
    lease: Lease,
    deduplicated: bool,
}

/// The renewal of the lease of a run.
#[derive(ToSchema)]
pub(crate) struct RenewRun {
    attempt: String,
}

/// The answer to a renewal.
#[derive(ToSchema)]
pub(crate) struct RunRenewed {
    agent: String,
    thread: String,
    attempt: String,
    lease: Lease,
    /// Whether the run should stop, because its sessions were reset.
    superseded: bool,
    deduplicated: bool,
}

/// The session of a run, recorded while it runs.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct PinSession {
    attempt: String,
    session: String,
    work_dir: Option<String>,
}

/// The report of a run.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct RunReport {
    session: Option<String>,
    work_dir: Option<String>,
    #[schema(required = false)]
    artifact_missing: bool,
    retires: Option<String>,
}

/// The end of a run, by success or on purpose.
#[derive(ToSchema)]
pub(crate) struct EndRun {
    attempt: String,
    #[schema(required = false)]
    report: RunReport,
}

/// The end of a run by a failure.
#[derive(ToSchema)]
pub(crate) struct FailRun {
    attempt: String,
    /// The cause, such as `network` or `contextOverflow`.
    failure: String,
    /// The text of the failure, at most 4096 bytes.
    detail: Option<String>,
    #[schema(required = false)]
    report: RunReport,
}

/// The begin of another session generation.
#[derive(ToSchema)]
pub(crate) struct ResetSession {
    /// The required session generation.
    expected: Option<u64>,
}

/// The state of the sessions after a change.
#[derive(ToSchema)]
pub(crate) struct SessionChanged {
    binding: Binding,
    /// Whether the pointer has moved.
    moved: bool,
    deduplicated: bool,
}
