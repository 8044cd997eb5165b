//! The route of the audit log.

use axum::{extract::State, response::IntoResponse};
use throughline_core::{
    audit::{AuditFrom, AuditNumber, ReadAudit},
    changes::ChangeScope,
};

use crate::{
    answer::Answer,
    extract::Params,
    problem::Problem,
    schema::{self, Problems},
    state::{Db, RouterState},
};

/// Reads the audit log of the tenant, or of one thread, in the order of the log. Without a cursor, the page has the last entries.
/// Entries have no content.
#[utoipa::path(
    get, path = "/v1/audit", operation_id = "readAudit", tag = "audit",
    params(schema::AuditQuery),
    responses((status = 200, description = "A page of the audit log", body = schema::AuditPage), Problems),
)]
pub(crate) async fn audit(
    State(state): State<RouterState>,
    Db(db): Db,
    mut params: Params,
) -> Result<impl IntoResponse, Problem> {
    let scope = params.take("thread")?.map_or(ChangeScope::Tenant, ChangeScope::Thread);
    let from = match (params.counter("after")?, params.counter("before")?) {
        (Some(after), None) => AuditFrom::After(AuditNumber::new(after)),
        (None, Some(before)) => AuditFrom::Before(AuditNumber::new(before)),
        (None, None) => AuditFrom::End,
        (Some(_), Some(_)) => return Err(Problem::invalid("the query has both `after` and `before`")),
    };
    let limit = params.limit(state.options().page_limit)?;
    params.end()?;
    Ok(Answer::ok(&db.read(ReadAudit::new(scope, from, limit)).await?))
}
