//! The errors of the API: `{"error": {...}}` instead of a problem document.

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::Response,
};
use serde::Serialize;
use throughline_core::Effect;
use utoipa::ToSchema;

use crate::{extract::KEY_HEADER, problem::Problem};

/// The header that states whether the official clients may repeat a request. Without it, they decide by the status alone.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// The body of a failed request.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OpenAiError {
    error: OpenAiErrorMembers,
}

/// A failure, for the official clients.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OpenAiErrorMembers {
    /// The failure, for people.
    message: String,
    /// `invalid_request_error`, `rate_limit_error` or `server_error`.
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    kind: &'static str,
    /// Always null.
    #[schema(required)]
    param: Option<String>,
    /// The stable code, as in a problem document.
    #[schema(value_type = String)]
    code: &'static str,
    /// The part of the operation that the store has: `notApplied`, `applied` or `unknown`.
    #[schema(value_type = String)]
    effect: Effect,
    /// The part that failed: `http`, `edge`, or the name of a layer or of the backend.
    site: String,
}

/// Replaces each problem document by an error of the API.
pub(super) async fn answer_errors(request: Request, next: Next) -> Response {
    let is_repeatable = *request.method() == Method::GET || request.headers().contains_key(KEY_HEADER);
    let mut response = next.run(request).await;
    let Some(problem) = response.extensions_mut().remove::<Problem>() else { return response };
    let (status, body) = error_of(&problem);
    *response.status_mut() = status;
    let json = serde_json::to_vec(&body).expect("an error serializes into memory");
    *response.body_mut() = json.into();
    set_headers(response.headers_mut(), should_retry(&problem, is_repeatable));
    response
}

fn set_headers(headers: &mut HeaderMap, should_retry: bool) {
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(SHOULD_RETRY, HeaderValue::from_static(if should_retry { "true" } else { "false" }));
}

fn error_of(problem: &Problem) -> (StatusCode, OpenAiError) {
    // The clients know no deleted items: they expect 404.
    let status = match problem.status() {
        StatusCode::GONE => StatusCode::NOT_FOUND,
        status => status,
    };
    let kind = match status.as_u16() {
        429 => "rate_limit_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    };
    let error = OpenAiErrorMembers {
        message: problem.detail().to_owned(),
        kind,
        param: None,
        code: problem.code(),
        effect: problem.effect(),
        site: problem.site().to_owned(),
    };
    (status, OpenAiError { error })
}

/// Whether a repetition of the request can succeed and cannot apply it twice.
fn should_retry(problem: &Problem, is_repeatable: bool) -> bool {
    let is_transient =
        matches!(problem.code(), "busy" | "overloaded" | "unavailable" | "timeout" | "request_timeout");
    match problem.effect() {
        Effect::NotApplied => is_transient,
        Effect::Unknown => is_repeatable,
        Effect::Applied => false,
    }
}

#[cfg(test)]
mod tests {
    use throughline_core::{ErrorKind, PersistError};

    use super::*;

    #[test]
    fn a_client_repeats_only_what_cannot_apply_twice() {
        for (kind, effect, is_repeatable, expected) in [
            (ErrorKind::Unavailable, Effect::NotApplied, false, true),
            (ErrorKind::Busy, Effect::NotApplied, true, true),
            (ErrorKind::Conflict, Effect::NotApplied, true, false),
            (ErrorKind::Internal, Effect::NotApplied, true, false),
            (ErrorKind::Timeout, Effect::Unknown, true, true),
            (ErrorKind::Timeout, Effect::Unknown, false, false),
            (ErrorKind::Timeout, Effect::Applied, true, false),
        ] {
            let problem = Problem::from(PersistError::new(kind, "x").with_effect(effect));
            assert_eq!(should_retry(&problem, is_repeatable), expected, "{kind} {effect:?} {is_repeatable}");
        }
    }

    #[test]
    fn a_deleted_item_is_not_found() {
        let problem = Problem::from(PersistError::new(ErrorKind::Gone, "it was deleted"));
        let (status, body) = error_of(&problem);
        assert_eq!((status.as_u16(), body.error.code), (404, "gone"));
    }
}
