//! The schemas of the OpenAPI document.
//!
//! The types of the core have no schema of their own, because the core does not depend on a description of HTTP. Each type here
//! describes one JSON form and is never constructed. The tests check every answer of the server against these schemas.

mod audit;
mod batch;
mod changes;
mod messages;
mod params;
mod sessions;
mod stream;
mod threads;
mod tickets;

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::{
    IntoResponses, ToSchema,
    openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder},
};

pub(crate) use self::{
    audit::AuditPage,
    batch::{Batch, Batched},
    changes::{Changes, SearchHits},
    messages::{
        Abandon, Append, ContentUpdated, Deleted, Finish, FoundPage, Message, MessagePage, MessagePatch,
        NewMessage, NewReservation, Updated,
    },
    params::{
        AuditQuery, ChangesQuery, FindMessagesQuery, IdempotencyKeyHeader, IfMatchHeader, IfNoneMatchHeader,
        LastEventIdHeader, ListMessagesQuery, ListThreadsQuery, MessagePath, SearchQuery, SessionPath,
        ThreadPath,
    },
    sessions::{
        BeginRun, Claimer, EndRun, FailRun, PinSession, RenewRun, ResetSession, RunBegun, RunRenewed,
        SessionChanged, SessionResolved,
    },
    stream::{ContentQuery, ContentTail, StreamQuery, ThreadEvent},
    threads::{NewThread, ThreadDeleted, ThreadPage, ThreadPatch, ThreadSummary},
    tickets::{Ticket, TicketQuery},
};
use crate::problem::{PROBLEM_JSON, PROBLEM_STATUSES};

/// Every refusal: a problem document.
pub(crate) struct Problems;

impl IntoResponses for Problems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let response = |description: &str| {
            let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
            RefOr::T(ResponseBuilder::new().description(description).content(PROBLEM_JSON, content).build())
        };
        PROBLEM_STATUSES
            .iter()
            .map(|(status, description)| (status.to_string(), response(description)))
            .collect()
    }
}

/// The answer of a liveness or readiness check.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only a schema")]
pub(crate) struct Status {
    /// `ok` or `ready`.
    status: String,
    /// The conditions of the store that need attention.
    conditions: Vec<String>,
}

/// An OpenAPI document.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only a schema")]
pub(crate) struct OpenApiDocument {
    openapi: String,
    info: BTreeMap<String, Value>,
    paths: BTreeMap<String, Value>,
    components: BTreeMap<String, Value>,
    security: Vec<Value>,
    tags: Vec<Value>,
}
