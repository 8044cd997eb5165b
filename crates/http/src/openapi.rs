//! The OpenAPI document, made from the routes.

use axum::{
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use utoipa::{
    Modify, OpenApi,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};

use crate::{
    problem::ProblemMembers,
    schema::{self, Problems},
    state::RouterState,
};

/// The document without the routes, which the router adds.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Throughline",
        description = "Conversations of AI agents over one persistence pipeline: threads, messages, drafts, changes, sessions."
    ),
    tags(
        (name = "threads", description = "Conversations"),
        (name = "messages", description = "Complete messages"),
        (name = "drafts", description = "Messages that are being written"),
        (name = "changes", description = "The change feed"),
        (name = "search", description = "Full-text search"),
        (name = "batch", description = "Several writes in one transaction"),
        (name = "sessions", description = "Agent sessions"),
        (name = "audit", description = "The audit log"),
        (name = "openai", description = "The OpenAI Conversations API, if the host serves it"),
        (name = "operation", description = "Health, metrics and this document"),
    ),
    components(schemas(ProblemMembers)),
    security(("bearer" = [])),
    modifiers(&Bearer),
)]
pub(crate) struct Document;

/// Adds the security scheme.
struct Bearer;

impl Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
        openapi.components.get_or_insert_default().add_security_scheme("bearer", scheme);
    }
}

/// This document. It needs no caller.
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "openapi", tag = "operation", security(()),
    responses((status = 200, description = "The OpenAPI document", body = schema::OpenApiDocument), Problems),
)]
pub(crate) async fn document(State(state): State<RouterState>) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], state.document()).into_response()
}
