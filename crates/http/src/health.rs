//! The routes of operation: liveness, readiness and metrics.

use std::time::Duration;

use axum::{
    extract::{FromRequestParts, Request, State},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use throughline_core::{ErrorKind, threads::ListThreads};

use crate::{
    answer::Answer,
    auth::Caller,
    metrics,
    problem::{HttpFault, Problem},
    schema::{self, Problems},
    state::RouterState,
    store_health::StoreHealth,
};

/// The answer of a liveness or readiness check.
#[derive(Debug, Serialize)]
struct Status {
    status: &'static str,
    conditions: Vec<String>,
}

fn status(status: &'static str, conditions: Vec<String>) -> Response {
    let mut response = Answer::ok(&Status { status, conditions }).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// States that the process answers. It does not look at the store and needs no caller.
#[utoipa::path(
    get, path = "/healthz", operation_id = "healthz", tag = "operation", security(()),
    responses((status = 200, description = "The process answers", body = schema::Status), Problems),
)]
pub(crate) async fn healthz() -> Response {
    status("ok", Vec::new())
}

/// The longest time of the readiness check.
const READY_WITHIN: Duration = Duration::from_secs(2);

/// States whether the store answers a read through the whole pipeline, and accepts writes as far as the host knows. It needs no
/// caller.
#[utoipa::path(
    get, path = "/readyz", operation_id = "readyz", tag = "operation", security(()),
    responses((status = 200, description = "The store answers", body = schema::Status), Problems),
)]
pub(crate) async fn readyz(State(state): State<RouterState>) -> Result<Response, Problem> {
    let read = state.db().threads(ListThreads::new(1)).deadline(READY_WITHIN);
    match read.await {
        Ok(_) => {}
        // A guard that denies a call without a credential has seen the call.
        Err(error) if error.kind() == ErrorKind::Denied => {}
        Err(error) => {
            let detail = format!("the store does not answer: {}", error.code());
            return Err(Problem::http(HttpFault::NotReady, detail));
        }
    }
    let health = state.options().health.as_ref().map(|health| (health.0)());
    match health {
        Some(health) if !health.accepts_writes() => {
            Err(Problem::http(HttpFault::NotReady, "the store accepts no writes"))
        }
        health => Ok(status("ready", health.map(StoreHealth::into_conditions).unwrap_or_default())),
    }
}

/// The counters of the router and the health of the store, in the text format of Prometheus. Unless the host made it public, it
/// needs a caller that is an operator.
#[utoipa::path(
    get, path = "/metrics", operation_id = "metrics", tag = "operation",
    responses((status = 200, description = "The counters", body = String, content_type = "text/plain"), Problems),
)]
pub(crate) async fn metrics(State(state): State<RouterState>, request: Request) -> Result<Response, Problem> {
    if !state.options().public_metrics {
        let (mut parts, _) = request.into_parts();
        let caller = Caller::from_request_parts(&mut parts, &state).await?;
        if !caller.is_operator() {
            return Err(Problem::http(HttpFault::Forbidden, "only an operator can read the metrics"));
        }
    }
    let mut text = state.metrics().text();
    if let Some(health) = &state.options().health {
        let health = (health.0)();
        let name = "throughline_store_accepts_writes";
        metrics::family(&mut text, name, "gauge", "Whether the store accepts writes.");
        metrics::line(&mut text, name, "", health.accepts_writes().into());
        let name = "throughline_store_conditions";
        metrics::family(&mut text, name, "gauge", "Conditions of the store that need attention.");
        metrics::line(&mut text, name, "", health.into_conditions().len() as u64);
    }
    Ok(metrics::answer(text))
}
