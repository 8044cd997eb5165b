//! Answers: JSON with the headers of the API.

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

/// The header of an answer that replays an earlier call with the same idempotency key.
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Everything but the unreserved characters of RFC 3986.
const PATH_SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// An answer with a JSON body.
#[derive(Debug)]
pub(crate) struct Answer {
    status: StatusCode,
    json: Vec<u8>,
    tag: Option<HeaderValue>,
    location: Option<HeaderValue>,
    is_replayed: bool,
}

impl Answer {
    /// Answers 200 with this value.
    pub(crate) fn ok<T: Serialize + ?Sized>(value: &T) -> Self {
        let json = serde_json::to_vec(value).expect("an answer serializes into memory");
        Self::of_json(json)
    }

    /// Answers 200 with this JSON.
    pub(crate) const fn of_json(json: Vec<u8>) -> Self {
        Self { status: StatusCode::OK, json, tag: None, location: None, is_replayed: false }
    }

    /// Answers 201 with the reference of the new item, relative to the path of the request. A replay stays 200.
    #[must_use]
    pub(crate) fn created(mut self, collection: &str, id: &str) -> Self {
        if !self.is_replayed {
            self.status = StatusCode::CREATED;
        }
        let reference = format!("{collection}/{}", utf8_percent_encode(id, PATH_SEGMENT));
        self.location = HeaderValue::try_from(reference).ok();
        self
    }

    /// States that the answer replays an earlier one. Call it before [`created`](Self::created).
    #[must_use]
    pub(crate) const fn replayed(mut self, is_replayed: bool) -> Self {
        self.is_replayed = is_replayed;
        self
    }

    /// Sets the entity tag.
    #[must_use]
    pub(crate) fn tagged(mut self, tag: HeaderValue) -> Self {
        self.tag = Some(tag);
        self
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.json));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(tag) = self.tag {
            headers.insert(header::ETAG, tag);
        }
        if let Some(location) = self.location {
            headers.insert(header::LOCATION, location);
        }
        if self.is_replayed {
            headers.insert(REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}
