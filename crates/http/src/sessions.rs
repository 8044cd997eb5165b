//! The routes of agent sessions.

use std::time::Duration;

use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use throughline_core::{
    AgentId, IdempotencyKey, Persistence, ThreadId,
    ids::{AttemptId, SessionId, WorkDir},
    operations::OperationOf,
    sessions::{
        BeginRun, CancelRun, Claimer, ConfirmRun, FailRun, Failure, HandOff, PinSession, RenewRun,
        ResetSession, ResolveSession, RunReport, SessionArgs, SessionGeneration, SessionRevision,
    },
};

use crate::{
    answer::Answer,
    extract::{Counter, Ids, JsonBody, Key, OptionalBody, derived_id},
    problem::Problem,
    schema::{self, Problems},
    state::Db,
    write::detached,
};

/// Runs an operation on sessions.
async fn run<S>(db: &Persistence, operation: S, key: Option<IdempotencyKey>) -> Result<S::Output, Problem>
where
    S: OperationOf<SessionArgs> + 'static,
    S::Output: Send + 'static,
{
    let mut request = db.on_session(operation);
    if let Some(key) = key {
        request = request.key(key);
    }
    detached(request).await
}

fn answer<T: Serialize>(output: &T, deduplicated: bool) -> Answer {
    Answer::ok(output).replayed(deduplicated)
}

/// States which session a claimer may resume. It takes no lease.
#[utoipa::path(
    post, path = "/v1/threads/{thread}/sessions/{agent}/resolve", operation_id = "resolveSession", tag = "sessions",
    params(schema::SessionPath),
    request_body = schema::Claimer,
    responses((status = 200, description = "The session to resume", body = schema::SessionResolved), Problems),
)]
pub(crate) async fn resolve(
    Db(db): Db,
    Ids((thread, agent)): Ids<(ThreadId, AgentId)>,
    JsonBody(claimer): JsonBody<Claimer>,
) -> Result<impl IntoResponse, Problem> {
    Ok(Answer::ok(&db.read(ResolveSession { agent, thread, claimer }).await?))
}

/// The body of the begin of a run.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct BeginBody {
    claimer: Claimer,
    attempt: Option<AttemptId>,
    assigned: Option<SessionId>,
    work_dir: Option<WorkDir>,
    origin: Option<HandOff>,
    expected: Option<Counter>,
    lease: Option<Counter>,
}

/// Begins a run: takes the lease of the agent in the thread, and decides which session the run resumes. Another run that holds
/// the lease answers 423. With an `Idempotency-Key`, a repeated request begins no second run, also without an id in the body.
#[utoipa::path(
    post, path = "/v1/threads/{thread}/sessions/{agent}/begin", operation_id = "beginRun", tag = "sessions",
    params(schema::SessionPath, schema::IdempotencyKeyHeader),
    request_body = schema::BeginRun,
    responses(
        (status = 200, description = "The run", body = schema::RunBegun, headers(("Idempotency-Replayed" = String))),
        Problems,
    ),
)]
pub(crate) async fn begin(
    Db(db): Db,
    Ids((thread, agent)): Ids<(ThreadId, AgentId)>,
    Key(key): Key,
    JsonBody(body): JsonBody<BeginBody>,
) -> Result<impl IntoResponse, Problem> {
    let BeginBody { claimer, attempt, assigned, work_dir, origin, expected, lease } = body;
    let derived = key.as_ref().map(|key| derived_id("attempt", db.tenant(), thread.as_str(), key));
    let mut begin = BeginRun::new(agent, thread, claimer);
    if let Some(attempt) = attempt {
        begin = begin.named(attempt);
    } else if let Some(id) = derived {
        let id = id.parse().map_err(|error| Problem::invalid(format!("the derived id: {error}")))?;
        begin = begin.named(id);
    }
    begin.assigned = assigned;
    begin.work_dir = work_dir;
    begin.origin = origin;
    begin.expected = expected.map(|revision| SessionRevision::new(revision.get()));
    if let Some(lease) = lease {
        begin = begin.with_lease(Duration::from_millis(lease.get()));
    }
    let begun = run(&db, begin, key).await?;
    Ok(answer(&begun, begun.deduplicated))
}

/// The body of a renewal.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RenewBody {
    attempt: AttemptId,
}

/// Renews the lease of a run.
#[utoipa::path(
    post, path = "/v1/threads/{thread}/sessions/{agent}/renew", operation_id = "renewRun", tag = "sessions",
    params(schema::SessionPath, schema::IdempotencyKeyHeader),
    request_body = schema::RenewRun,
    responses(
        (status = 200, description = "The lease", body = schema::RunRenewed, headers(("Idempotency-Replayed" = String))),
        Problems,
    ),
)]
pub(crate) async fn renew(
    Db(db): Db,
    Ids((thread, agent)): Ids<(ThreadId, AgentId)>,
    Key(key): Key,
    JsonBody(RenewBody { attempt }): JsonBody<RenewBody>,
) -> Result<impl IntoResponse, Problem> {
    let renewed = run(&db, RenewRun { agent, thread, attempt }, key).await?;
    Ok(answer(&renewed, renewed.deduplicated))
}

/// The body of a pin.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PinBody {
    attempt: AttemptId,
    session: SessionId,
    work_dir: Option<WorkDir>,
}

/// Records the session of a run while it runs, so that a later run can resume it.
#[utoipa::path(
    post, path = "/v1/threads/{thread}/sessions/{agent}/pin", operation_id = "pinSession", tag = "sessions",
    params(schema::SessionPath, schema::IdempotencyKeyHeader),
    request_body = schema::PinSession,
    responses(
        (status = 200, description = "The sessions", body = schema::SessionChanged,
            headers(("Idempotency-Replayed" = String))),
        Problems,
    ),
)]
pub(crate) async fn pin(
    Db(db): Db,
    Ids((thread, agent)): Ids<(ThreadId, AgentId)>,
    Key(key): Key,
    JsonBody(PinBody { attempt, session, work_dir }): JsonBody<PinBody>,
) -> Result<impl IntoResponse, Problem> {
    let changed = run(&db, PinSession { agent, thread, attempt, session, work_dir }, key).await?;
    Ok(answer(&changed, changed.deduplicated))
}

/// The body of the end of a run.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct EndBody {
    attempt: AttemptId,
    #[serde(default)]
    report: RunReport,
}

/// Ends a run with success, and releases its lease.
#[utoipa::path(
    post, path = "/v1/threads/{thread}/sessions/{agent}/confirm", operation_id = "confirmRun", tag = "sessions",
    params(schema::SessionPath, schema::IdempotencyKeyHeader),
    request_body = schema::EndRun,
    responses(
        (status = 200, description = "The sessions", body = schema::SessionChanged,
            headers(("Idempotency-Replayed" = String))),
        Problems,
    ),
)]
pub(crate) async fn confirm(
    Db(db): Db,
    Ids((thread, agent)): Ids<(ThreadId, AgentId)>,
    Key(key): Key,
    JsonBody(EndBody { attempt, report }): JsonBody<EndBody>,
) -> Result<impl IntoResponse, Problem> {
    let changed = run(&db, ConfirmRun { agent, thread, attempt, report }, key).await?;
    Ok(answer(&changed, changed.deduplicated))
}

/// The body of a failure.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct FailBody {
    attempt: AttemptId,
    failure: Failure,
    detail: Option<String>,
    #[serde(default)]
    report: RunReport,
}

/// Ends a run with a failure, and releases its lease.
#[utoipa::path(
    post, path = "/v1/threads/{thread}/sessions/{agent}/fail", operation_id = "failRun", tag = "sessions",
    params(schema::SessionPath, schema::IdempotencyKeyHeader),
    request_body = schema::FailRun,
    responses(
        (status = 200, description = "The sessions", body = schema::SessionChanged,
            headers(("Idempotency-Replayed" = String))),
        Problems,
    ),
)]
pub(crate) async fn fail(
    Db(db): Db,
    Ids((thread, agent)): Ids<(ThreadId, AgentId)>,
    Key(key): Key,
    JsonBody(FailBody { attempt, failure, detail, report }): JsonBody<FailBody>,
) -> Result<impl IntoResponse, Problem> {
    let changed = run(&db, FailRun { agent, thread, attempt, failure, detail, report }, key).await?;
    Ok(answer(&changed, changed.deduplicated))
}

/// Ends a run that was stopped on purpose, and releases its lease.
#[utoipa::path(
    post, path = "/v1/threads/{thread}/sessions/{agent}/cancel", operation_id = "cancelRun", tag = "sessions",
    params(schema::SessionPath, schema::IdempotencyKeyHeader),
    request_body = schema::EndRun,
    responses(
        (status = 200, description = "The sessions", body = schema::SessionChanged,
            headers(("Idempotency-Replayed" = String))),
        Problems,
    ),
)]
pub(crate) async fn cancel(
    Db(db): Db,
    Ids((thread, agent)): Ids<(ThreadId, AgentId)>,
    Key(key): Key,
    JsonBody(EndBody { attempt, report }): JsonBody<EndBody>,
) -> Result<impl IntoResponse, Problem> {
    let changed = run(&db, CancelRun { agent, thread, attempt, report }, key).await?;
    Ok(answer(&changed, changed.deduplicated))
}

/// The body of a reset.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ResetBody {
    expected: Option<Counter>,
}

/// Begins another generation of the sessions. No claimer can resume a session of an earlier one.
#[utoipa::path(
    post, path = "/v1/threads/{thread}/sessions/{agent}/reset", operation_id = "resetSession", tag = "sessions",
    params(schema::SessionPath, schema::IdempotencyKeyHeader),
    request_body = Option<schema::ResetSession>,
    responses(
        (status = 200, description = "The sessions", body = schema::SessionChanged,
            headers(("Idempotency-Replayed" = String))),
        Problems,
    ),
)]
pub(crate) async fn reset(
    Db(db): Db,
    Ids((thread, agent)): Ids<(ThreadId, AgentId)>,
    Key(key): Key,
    OptionalBody(ResetBody { expected }): OptionalBody<ResetBody>,
) -> Result<impl IntoResponse, Problem> {
    let expected = expected.map(|generation| SessionGeneration::new(generation.get()));
    let changed = run(&db, ResetSession { agent, thread, expected }, key).await?;
    Ok(answer(&changed, changed.deduplicated))
}
