//! The table of problems: the code, the HTTP status and the title of each.

use axum::http::StatusCode;
use throughline_core::ErrorKind;

/// Returns the HTTP status and the title of an error kind. This is the only such table.
///
/// A [`Stale`](ErrorKind::Stale) answer to a request with `If-Match` is 412 instead of 409.
///
/// | code | status |
/// |---|---|
/// | `invalid` | 400 |
/// | `denied` | 403 |
/// | `not_found` | 404 |
/// | `already_exists`, `conflict`, `stale` | 409 |
/// | `gone`, `too_old` | 410 |
/// | `too_large` | 413 |
/// | `not_primary` | 421 |
/// | `busy` | 423 |
/// | `overloaded` | 429 |
/// | `corrupt`, `cancelled`, `panicked`, `contract_violation`, `internal` | 500 |
/// | `unsupported` | 501 |
/// | `unavailable` | 503 |
/// | `timeout` | 504 |
/// | `storage_full` | 507 |
#[must_use]
pub const fn status_of(kind: ErrorKind) -> (StatusCode, &'static str) {
    match kind {
        ErrorKind::Invalid => (StatusCode::BAD_REQUEST, "The request is not valid"),
        ErrorKind::Denied => (StatusCode::FORBIDDEN, "The caller has no permission"),
        ErrorKind::NotFound => (StatusCode::NOT_FOUND, "There is no such item"),
        ErrorKind::AlreadyExists => (StatusCode::CONFLICT, "The item exists already"),
        ErrorKind::Conflict => (StatusCode::CONFLICT, "The key or the state forbids the change"),
        ErrorKind::Stale => (StatusCode::CONFLICT, "The item has changed, or is settled"),
        ErrorKind::Gone => (StatusCode::GONE, "The item was deleted"),
        ErrorKind::TooOld => (StatusCode::GONE, "The changes after the position are not kept"),
        ErrorKind::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "The request exceeds a limit"),
        ErrorKind::NotPrimary => (StatusCode::MISDIRECTED_REQUEST, "The store is a replica"),
        ErrorKind::Busy => (StatusCode::LOCKED, "Another caller holds the lock or the lease"),
        ErrorKind::Overloaded => (StatusCode::TOO_MANY_REQUESTS, "Too many calls are waiting"),
        ErrorKind::Unsupported => (StatusCode::NOT_IMPLEMENTED, "The store does not support the operation"),
        ErrorKind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "The store is not available"),
        ErrorKind::Timeout => (StatusCode::GATEWAY_TIMEOUT, "The deadline of the call has passed"),
        ErrorKind::StorageFull => (StatusCode::INSUFFICIENT_STORAGE, "The store or the quota is full"),
        ErrorKind::Corrupt => (StatusCode::INTERNAL_SERVER_ERROR, "The stored data is damaged"),
        ErrorKind::Cancelled => (StatusCode::INTERNAL_SERVER_ERROR, "The call was cancelled"),
        ErrorKind::Panicked => (StatusCode::INTERNAL_SERVER_ERROR, "A layer or the store panicked"),
        ErrorKind::ContractViolation => {
            (StatusCode::INTERNAL_SERVER_ERROR, "A layer or the store broke its contract")
        }
        // `ErrorKind` can get further kinds; a test requires that every known kind but this one is above.
        _ => (StatusCode::INTERNAL_SERVER_ERROR, INTERNAL_TITLE),
    }
}

const INTERNAL_TITLE: &str = "The store or the server failed";

/// A refusal of the router itself, before the pipeline has a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HttpFault {
    Unauthenticated,
    Forbidden,
    NoRoute,
    MethodNotAllowed,
    NotAcceptable,
    RequestTimeout,
    BodyTooLarge,
    UnsupportedMediaType,
    TooManyStreams,
    TooManyTickets,
    HeadersTooLarge,
    Panicked,
    AuthUnavailable,
    NotReady,
}

impl HttpFault {
    /// The code, the status and the title.
    pub(crate) const fn row(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::Unauthenticated => {
                ("unauthenticated", StatusCode::UNAUTHORIZED, "The request names no known caller")
            }
            Self::Forbidden => ("denied", StatusCode::FORBIDDEN, "The caller has no permission"),
            Self::NoRoute => ("no_route", StatusCode::NOT_FOUND, "There is no such route"),
            Self::MethodNotAllowed => {
                ("method_not_allowed", StatusCode::METHOD_NOT_ALLOWED, "The route has no such method")
            }
            Self::NotAcceptable => {
                ("not_acceptable", StatusCode::NOT_ACCEPTABLE, "The route has no such media type")
            }
            Self::RequestTimeout => {
                ("request_timeout", StatusCode::REQUEST_TIMEOUT, "The request took too long")
            }
            Self::BodyTooLarge => ("too_large", StatusCode::PAYLOAD_TOO_LARGE, "The request exceeds a limit"),
            Self::UnsupportedMediaType => {
                ("unsupported_media_type", StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body must be JSON")
            }
            Self::TooManyStreams => {
                ("overloaded", StatusCode::TOO_MANY_REQUESTS, "The caller has too many open streams")
            }
            Self::TooManyTickets => {
                ("overloaded", StatusCode::TOO_MANY_REQUESTS, "The caller has too many unused tickets")
            }
            Self::HeadersTooLarge => (
                "headers_too_large",
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "The headers of the request exceed a limit",
            ),
            Self::Panicked => ("panicked", StatusCode::INTERNAL_SERVER_ERROR, "The server panicked"),
            Self::AuthUnavailable | Self::NotReady => {
                ("unavailable", StatusCode::SERVICE_UNAVAILABLE, "The server is not available")
            }
        }
    }
}

/// Every status of a problem, for the OpenAPI document.
pub(crate) const PROBLEM_STATUSES: &[(u16, &str)] = &[
    (400, "The request is not valid"),
    (401, "The request names no known caller"),
    (403, "The caller has no permission"),
    (404, "There is no such item or route"),
    (405, "The route has no such method"),
    (406, "The route has no such media type"),
    (408, "The request took too long"),
    (409, "The item exists already, has changed, or forbids the change"),
    (410, "The item was deleted, or the changes are not kept"),
    (412, "The entity tag of If-Match does not match"),
    (413, "The request exceeds a limit"),
    (415, "The body must be JSON"),
    (421, "The store is a replica"),
    (423, "Another caller holds the lock or the lease"),
    (429, "Too many calls are waiting, or too many streams are open"),
    (431, "The headers of the request exceed a limit"),
    (500, "The store or the server failed"),
    (501, "The store does not support the operation"),
    (503, "The store is not available"),
    (504, "The deadline of the call has passed"),
    (507, "The store or the quota is full"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_kind_has_its_own_row() {
        for kind in ErrorKind::ALL {
            let (status, title) = status_of(*kind);
            assert_eq!(title == INTERNAL_TITLE, *kind == ErrorKind::Internal, "{kind}");
            assert!(PROBLEM_STATUSES.iter().any(|row| row.0 == status.as_u16()), "{kind}");
        }
    }

    #[test]
    fn every_refusal_of_the_router_has_a_documented_status() {
        let faults = [
            HttpFault::Unauthenticated,
            HttpFault::Forbidden,
            HttpFault::NoRoute,
            HttpFault::MethodNotAllowed,
            HttpFault::NotAcceptable,
            HttpFault::RequestTimeout,
            HttpFault::BodyTooLarge,
            HttpFault::UnsupportedMediaType,
            HttpFault::TooManyStreams,
            HttpFault::TooManyTickets,
            HttpFault::HeadersTooLarge,
            HttpFault::Panicked,
            HttpFault::AuthUnavailable,
            HttpFault::NotReady,
        ];
        for fault in faults {
            let (code, status, title) = fault.row();
            assert!(PROBLEM_STATUSES.iter().any(|row| row.0 == status.as_u16()), "{code}: {title}");
        }
    }
}
