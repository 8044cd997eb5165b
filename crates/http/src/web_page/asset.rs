//! A file of the web page, with its media type and its entity tag.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

/// A file that the program contains.
#[derive(Debug)]
pub(super) struct Asset {
    pub(super) name: &'static str,
    bytes: &'static [u8],
    kind: HeaderValue,
    tag: HeaderValue,
}

impl Asset {
    /// Returns the file with this name. The end of the name decides the media type.
    pub(super) fn new(name: &'static str, bytes: &'static [u8]) -> Self {
        let kind = match name.rsplit('.').next() {
            Some("html") => "text/html; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("js") => "text/javascript; charset=utf-8",
            Some("svg") => "image/svg+xml",
            _ => "application/octet-stream",
        };
        let digest = blake3::hash(bytes).to_hex();
        let tag = HeaderValue::try_from(format!("\"{}\"", &digest[..16])).expect("digits in quotes");
        Self { name, bytes, kind: HeaderValue::from_static(kind), tag }
    }

    /// The content.
    #[cfg(test)]
    pub(super) const fn bytes(&self) -> &'static [u8] {
        self.bytes
    }

    /// Answers with the file, or with 304 if the client has it.
    pub(super) fn answer(&self, headers: &HeaderMap) -> Response {
        let tag = (header::ETAG, self.tag.clone());
        if self.is_known(headers) {
            return (StatusCode::NOT_MODIFIED, [tag]).into_response();
        }
        let kind = (header::CONTENT_TYPE, self.kind.clone());
        ([tag, kind], Body::from(self.bytes)).into_response()
    }

    /// Whether `If-None-Match` names this version. A proxy that compresses makes the tag weak.
    fn is_known(&self, headers: &HeaderMap) -> bool {
        let tags = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        tags.flat_map(|tags| tags.split(','))
            .map(str::trim)
            .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == self.tag.as_bytes())
    }
}
