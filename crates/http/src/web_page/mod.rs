//! The web page: a read-only view of the store for a browser, as static files at `/ui/`.
//!
//! The files have no data of the store, so that they need no caller. The web page reads the routes of the API, with the token that
//! a person enters, or with the cookie of the host.

mod asset;
mod files;

use std::sync::Arc;

use axum::{
    Router,
    extract::Path,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::{from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};

use self::asset::Asset;
use crate::{
    observe::observe,
    problem::{HttpFault, Problem},
    state::RouterState,
};

/// The policy of the web page: it loads its own files and calls its own server. It evaluates no text as code, and no other page
/// frames it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// The headers of every file, next to those of every answer.
const HEADERS: [(HeaderName, &str); 7] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
    // A browser asks each time whether its copy is current.
    (header::CACHE_CONTROL, "no-cache"),
];

/// Returns the routes of the web page.
pub(crate) fn routes(state: &RouterState) -> Router<RouterState> {
    let counters = state.metrics().route("/ui/{file}");
    Router::new()
        .route("/ui", get(redirect))
        .route("/ui/", get(index))
        .route("/ui/{file}", get(file))
        .layer(from_fn(with_headers))
        .layer(from_fn_with_state((state.clone(), Arc::clone(&counters)), observe))
}

async fn with_headers(request: axum::extract::Request, next: axum::middleware::Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The web page is at a path with a slash at its end, so that its files are relative to it. The reference is relative too, because a
/// host can mount the router under a prefix.
async fn redirect() -> impl IntoResponse {
    (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, HeaderValue::from_static("ui/"))])
}

async fn index(headers: HeaderMap) -> Response {
    answer(files::find("index.html"), &headers)
}

async fn file(Path(name): Path<String>, headers: HeaderMap) -> Response {
    answer(files::find(&name), &headers)
}

fn answer(asset: Option<&Asset>, headers: &HeaderMap) -> Response {
    match asset {
        Some(asset) => asset.answer(headers),
        None => Problem::http(HttpFault::NoRoute, "the web page has no such file").into_response(),
    }
}
