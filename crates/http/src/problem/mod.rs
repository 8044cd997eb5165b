//! Problem documents (RFC 9457): the body of every refusal and failure.

mod status;

use std::{any::Any, borrow::Cow, time::Duration};

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use throughline_core::{Effect, ErrorKind, PersistError};
use utoipa::ToSchema;

pub use self::status::status_of;
pub(crate) use self::status::{HttpFault, PROBLEM_STATUSES};

/// The media type of a problem document.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// A problem document: what failed, where, and what the store has now.
///
/// ```
/// use throughline_core::{Effect, ErrorKind, PersistError};
/// use throughline_http::Problem;
///
/// let error = PersistError::new(ErrorKind::Stale, "the revision is 4").with_effect(Effect::NotApplied);
/// let problem = Problem::from(error);
/// assert_eq!((problem.status().as_u16(), problem.code()), (409, "stale"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Problem(Box<ProblemMembers>);

/// A problem document (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemMembers {
    /// A URI that names the kind of the problem: `urn:throughline:problem:` and the code.
    #[serde(rename = "type")]
    uri: String,
    /// The kind of the problem in words, the same for each code.
    #[schema(value_type = String)]
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// The failure, for people.
    #[schema(value_type = String)]
    detail: Cow<'static, str>,
    /// The stable code of the problem, such as `not_found`.
    #[schema(value_type = String)]
    code: &'static str,
    /// The part of the operation that the store has: `notApplied`, `applied` or `unknown`.
    #[schema(value_type = String)]
    effect: Effect,
    /// The part that failed: `http`, `edge`, or the name of a layer or of the backend.
    site: String,
    /// The seconds after which another attempt may succeed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    retry_after: Option<u64>,
    /// The index of the failed item of a batch, from 0.
    #[serde(rename = "batchIndex", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    batch_index: Option<usize>,
    /// The advice for the caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    advice: Option<&'static str>,
    #[serde(skip)]
    #[schema(ignore)]
    challenge: bool,
}

impl Problem {
    /// Returns the problem of a request that the router itself refuses.
    pub(crate) fn http(fault: HttpFault, detail: impl Into<Cow<'static, str>>) -> Self {
        let (code, status, title) = fault.row();
        Self(Box::new(ProblemMembers {
            uri: uri_of(code),
            title,
            status: status.as_u16(),
            detail: detail.into(),
            code,
            effect: Effect::NotApplied,
            site: "http".to_owned(),
            retry_after: None,
            batch_index: None,
            advice: None,
            challenge: fault == HttpFault::Unauthenticated,
        }))
    }

    /// Returns the problem of a malformed request.
    pub(crate) fn invalid(detail: impl Into<Cow<'static, str>>) -> Self {
        PersistError::new(ErrorKind::Invalid, detail).with_effect(Effect::NotApplied).into()
    }

    /// Returns the problem of a message or thread that does not exist.
    pub(crate) fn not_found(detail: &'static str) -> Self {
        PersistError::new(ErrorKind::NotFound, detail).with_effect(Effect::NotApplied).into()
    }

    pub(crate) fn retry_after(mut self, seconds: u64) -> Self {
        self.0.retry_after = Some(seconds);
        self
    }

    /// The HTTP status.
    ///
    /// # Panics
    /// Never: every status of the table is valid.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status).expect("a status of the table")
    }

    /// The stable code, such as `not_found`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.0.code
    }

    /// The failure, for people.
    pub(crate) fn detail(&self) -> &str {
        &self.0.detail
    }

    pub(crate) fn effect(&self) -> Effect {
        self.0.effect
    }

    pub(crate) fn site(&self) -> &str {
        &self.0.site
    }

    /// Answers 412 instead of 409 for a request with `If-Match` that is stale.
    #[must_use]
    pub(crate) fn of_precondition(mut self) -> Self {
        if self.0.code == ErrorKind::Stale.code() {
            self.0.status = StatusCode::PRECONDITION_FAILED.as_u16();
        }
        self
    }

    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a problem serializes into memory")
    }
}

/// Answers a request whose handler panicked.
pub(crate) fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    tracing::error!("a request handler panicked");
    Problem::http(HttpFault::Panicked, "the handler of the request panicked").into_response()
}

fn uri_of(code: &str) -> String {
    format!("urn:throughline:problem:{code}")
}

/// The advice for an unknown effect.
const REPEAT: &str =
    "the outcome is unknown: repeat the request with the same Idempotency-Key or append number";

/// The advice for changes that are not kept any longer.
const RELOAD: &str = "load the data again, and continue from its position";

impl From<PersistError> for Problem {
    fn from(error: PersistError) -> Self {
        let (status, title) = status_of(error.kind());
        let effect = error.effect();
        let advice = match (effect, error.kind()) {
            (Effect::Unknown, _) => Some(REPEAT),
            (Effect::Applied, _) => Some("the store has the whole operation: do not repeat it"),
            (Effect::NotApplied, ErrorKind::TooOld) => Some(RELOAD),
            (Effect::NotApplied, _) => None,
        };
        Self(Box::new(ProblemMembers {
            uri: uri_of(error.code()),
            title,
            status: status.as_u16(),
            detail: error.detail().to_owned().into(),
            code: error.code(),
            effect,
            site: error.site().map_or("http", |site| site.name()).to_owned(),
            retry_after: error.retry_after().map(whole_seconds),
            batch_index: error.batch_index(),
            advice,
            challenge: false,
        }))
    }
}

/// Returns the seconds, rounded up, so that a client never comes too early.
fn whole_seconds(after: Duration) -> u64 {
    after.as_secs() + u64::from(after.subsec_nanos() > 0)
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status(), self.to_json()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some(seconds) = self.0.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if self.0.challenge {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // A route with errors of another form replaces the document.
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_effect_says_to_repeat_with_the_key() {
        let error = PersistError::new(ErrorKind::Timeout, "the deadline passed")
            .with_effect(Effect::Unknown)
            .with_retry_after(Duration::from_millis(1200));
        assert_eq!(
            Problem::from(error).to_json(),
            concat!(
                r#"{"type":"urn:throughline:problem:timeout","title":"The deadline of the call has passed","#,
                r#""status":504,"detail":"the deadline passed","code":"timeout","effect":"unknown","site":"http","#,
                r#""retry_after":2,"advice":"the outcome is unknown: repeat the request with the same "#,
                r#"Idempotency-Key or append number"}"#
            )
        );
    }

    #[test]
    fn only_a_stale_problem_becomes_a_failed_precondition() {
        for kind in ErrorKind::ALL {
            let problem = Problem::from(PersistError::new(*kind, "x"));
            let before = problem.status();
            let expected = if *kind == ErrorKind::Stale { StatusCode::PRECONDITION_FAILED } else { before };
            assert_eq!(problem.of_precondition().status(), expected, "{kind}");
        }
    }
}
