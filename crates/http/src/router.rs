//! The router: every route, its bounds and its refusals.

use std::sync::Arc;

use axum::{
    Router,
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
    routing::any,
};
use bytes::Bytes;
use throughline_core::Persistence;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi;
use utoipa_axum::{
    router::{OpenApiRouter, UtoipaMethodRouter},
    routes,
};

use crate::{
    Authenticate, Options, audit, batch, changes, drafts, finds, health, messages,
    observe::observe,
    openai,
    openapi::{self, Document},
    problem::{HttpFault, Problem, panicked},
    search, sessions,
    state::RouterState,
    tails, thread_stream, threads, tickets, web_page,
};

/// Returns the routes of the API over this pipeline, with the default bounds. See the [crate page](crate) for the routes.
///
/// A host mounts the router next to its own routes with [`Router::merge`], or under a prefix with [`Router::nest`]. The router
/// adds no fallback: use [`not_found`] for the other paths of the server, if they should answer problem documents too.
///
/// The router does not close the pipeline: [`Persistence::close`] is for the host.
pub fn router(db: Persistence, auth: impl Authenticate) -> Router {
    router_with(db, auth, Options::new())
}

/// Returns the routes of the API over this pipeline, with these bounds. See [`router`].
pub fn router_with(db: Persistence, auth: impl Authenticate, options: Options) -> Router {
    let state = RouterState::new(db, auth, options);
    let (router, document) = api(&state).split_for_parts();
    state.set_document(Bytes::from(document.to_json().expect("the document serializes into memory")));
    let page = match state.options().web_page {
        true => web_page::routes(&state).method_not_allowed_fallback(method_not_allowed),
        false => Router::new(),
    };
    router
        .merge(page)
        // A path of the API without a route.
        .route("/v1", any(not_found))
        .route("/v1/", any(not_found))
        .route("/v1/{*rest}", any(not_found))
        .layer(CatchPanicLayer::custom(panicked))
        .with_state(state)
}

/// Answers 404 with a problem document. Use it as the fallback of a server.
pub async fn not_found() -> Response {
    Problem::http(HttpFault::NoRoute, "there is no such route").into_response()
}

async fn method_not_allowed() -> Problem {
    Problem::http(HttpFault::MethodNotAllowed, "the header `Allow` has the methods of the route")
}

/// Returns the documented routes.
fn api(state: &RouterState) -> OpenApiRouter<RouterState> {
    [
        routes!(threads::list, threads::create),
        routes!(threads::get, threads::patch, threads::delete),
        routes!(messages::list, messages::add),
        routes!(messages::get, messages::patch, messages::delete),
        routes!(messages::put_content, tails::read),
        routes!(drafts::reserve),
        routes!(drafts::append),
        routes!(drafts::finish),
        routes!(drafts::abandon),
        routes!(changes::changes),
        routes!(thread_stream::stream),
        routes!(batch::batch),
        routes!(search::search),
        routes!(finds::find),
        routes!(sessions::resolve),
        routes!(sessions::begin),
        routes!(sessions::renew),
        routes!(sessions::pin),
        routes!(sessions::confirm),
        routes!(sessions::fail),
        routes!(sessions::cancel),
        routes!(sessions::reset),
        routes!(audit::audit),
        routes!(tickets::create),
        routes!(health::healthz),
        routes!(health::readyz),
        routes!(health::metrics),
        routes!(openapi::document),
    ]
    .into_iter()
    .map(|route| observed(state, route))
    .chain(conversations(state))
    .fold(OpenApiRouter::with_openapi(Document::openapi()), OpenApiRouter::routes)
}

/// Returns the routes of the OpenAI Conversations API, if the host wants them.
fn conversations(state: &RouterState) -> Vec<UtoipaMethodRouter<RouterState>> {
    if !state.options().openai_conversations {
        return Vec::new();
    }
    openai::routes().into_iter().map(|route| openai::with_api_errors(observed(state, route))).collect()
}

/// Adds the counters, the bounds and the 405 of a route.
fn observed(
    state: &RouterState,
    (schemas, paths, methods): UtoipaMethodRouter<RouterState>,
) -> UtoipaMethodRouter<RouterState> {
    let path = paths.paths.keys().next().cloned().unwrap_or_default();
    let counters = state.metrics().route(&path);
    let methods = methods
        .fallback(method_not_allowed)
        .layer(from_fn_with_state((state.clone(), Arc::clone(&counters)), observe));
    (schemas, paths, methods)
}
