//! The middleware of each route: its counters, the bounds of its headers, and the headers that every answer has.

use std::{sync::Arc, time::Instant};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::{
    metrics::RouteMetrics,
    problem::{HttpFault, Problem},
    state::RouterState,
};

/// The routes that take a ticket.
const STREAMS: [&str; 2] = ["/v1/changes", "/v1/threads/{thread}/stream"];

/// The name of a method that a route can have. Other methods count as one, so that a client cannot create counters.
fn method_name(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

/// Counts the requests of a route, checks the bounds of their headers, and adds the headers that every answer has.
pub(crate) async fn observe(
    State((state, route)): State<(RouterState, Arc<RouteMetrics>)>,
    mut request: Request,
    next: Next,
) -> Response {
    let begun = Instant::now();
    let method = method_name(request.method());
    let in_flight = route.begin();
    let is_for_stream = request.method() == Method::GET && STREAMS.contains(&route.path());
    if let Some(ticket) = state.tickets().take_from(request.uri_mut(), is_for_stream) {
        request.extensions_mut().insert(ticket);
    }
    let mut response = match check_headers(request.headers(), &state) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    drop(in_flight);
    route.record(method, response.status().as_u16(), begun.elapsed());
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn check_headers(headers: &HeaderMap, state: &RouterState) -> Result<(), Problem> {
    let options = state.options();
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if headers.len() > options.max_headers {
        let detail = format!("the request has more than the {} headers allowed", options.max_headers);
        return Err(Problem::http(HttpFault::HeadersTooLarge, detail));
    }
    if bytes > options.max_header_bytes {
        let detail = format!("the headers have more than the {} bytes allowed", options.max_header_bytes);
        return Err(Problem::http(HttpFault::HeadersTooLarge, detail));
    }
    Ok(())
}
