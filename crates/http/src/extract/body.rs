//! JSON bodies, bounded in bytes and in time.

use axum::{
    body::Body,
    extract::{FromRequest, Request},
    http::{HeaderMap, header},
};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};

use crate::{
    Options,
    problem::{HttpFault, Problem},
    state::RouterState,
};

/// A JSON body.
pub(crate) struct JsonBody<T>(pub(crate) T);

/// A JSON body, or the default for a request without a body.
pub(crate) struct OptionalBody<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<RouterState> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &RouterState) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        check_type(&parts.headers)?;
        let bytes = read(&parts.headers, body, state.options()).await?;
        parse(&bytes).map(Self)
    }
}

impl<T: DeserializeOwned + Default> FromRequest<RouterState> for OptionalBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &RouterState) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let bytes = read(&parts.headers, body, state.options()).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        check_type(&parts.headers)?;
        parse(&bytes).map(Self)
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| Problem::invalid(format!("the body is not valid: {error}")))
}

/// Requires `application/json` or a type with the suffix `+json`. A page of another origin can send neither without the
/// consent of the server.
fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_json = essence
        .strip_prefix("application/")
        .is_some_and(|subtype| subtype == "json" || subtype.ends_with("+json"));
    if is_json {
        return Ok(());
    }
    let detail = "send the body with the header `Content-Type: application/json`";
    Err(Problem::http(HttpFault::UnsupportedMediaType, detail))
}

fn too_large(limit: usize) -> Problem {
    Problem::http(HttpFault::BodyTooLarge, format!("the body has more than the {limit} bytes allowed"))
}

/// Reads the body within the bounds of the options.
async fn read(headers: &HeaderMap, mut body: Body, options: &Options) -> Result<Bytes, Problem> {
    let limit = options.max_body_bytes;
    let stated =
        headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if stated.is_some_and(|length| length > limit as u64) {
        return Err(too_large(limit));
    }
    let end = Instant::now() + options.body_timeout;
    let mut read = BytesMut::new();
    loop {
        let next = end.min(Instant::now() + options.body_idle_timeout);
        let Ok(frame) = timeout_at(next, body.frame()).await else {
            return Err(Problem::http(HttpFault::RequestTimeout, "the body did not arrive in time"));
        };
        match frame {
            None => return Ok(read.freeze()),
            Some(Err(_)) => return Err(Problem::invalid("the body ended before its end")),
            Some(Ok(frame)) => {
                let Ok(data) = frame.into_data() else { continue };
                if read.len() + data.len() > limit {
                    return Err(too_large(limit));
                }
                read.extend_from_slice(&data);
            }
        }
    }
}
