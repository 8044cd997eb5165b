//! Entity tags: `ETag`, `If-Match` and `If-None-Match`.
//!
//! The tag of a message is its revision and a digest of its representation, such as `"3-0f9a3c5e1b2d4a60"`. `If-Match` compares
//! the revision, because that is what a store compares in the transaction of a write. `If-None-Match` compares the whole tag,
//! because a patch of the metadata changes the representation and not the revision.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts},
};
use throughline_core::{ErrorKind, PersistError, Revision};

use crate::{problem::Problem, state::RouterState};

use super::Counter;

/// Returns the tag of a message with this representation.
pub(crate) fn message_tag(revision: Revision, json: &[u8]) -> HeaderValue {
    let digest = blake3::hash(json).to_hex();
    value_of(format!("\"{revision}-{}\"", &digest[..16]))
}

/// Returns the tag of a revision, for an answer without the whole message. It never matches `If-None-Match`.
pub(crate) fn revision_tag(revision: Revision) -> HeaderValue {
    value_of(format!("\"{revision}\""))
}

fn value_of(tag: String) -> HeaderValue {
    HeaderValue::try_from(tag).expect("digits and hyphens in quotes")
}

/// Returns the value of a header that a request must have at most once.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    match (value.to_str(), values.next()) {
        (Ok(text), None) => Ok(Some(text.trim())),
        _ => Err(Problem::invalid(format!("the header `{name}` is not one text of ASCII"))),
    }
}

/// Returns the inside of a strong tag in quotes.
fn strong(tag: &str) -> Option<&str> {
    let inside = tag.strip_prefix('"')?.strip_suffix('"')?;
    (!inside.contains('"')).then_some(inside)
}

/// The header `If-Match`: the required revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IfMatch(Option<Revision>);

impl IfMatch {
    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let Some(text) = single(headers, &header::IF_MATCH)? else { return Ok(Self(None)) };
        if text == "*" {
            return Ok(Self(None));
        }
        if text.starts_with("W/") {
            return Err(mismatch());
        }
        let tag = strong(text).ok_or_else(|| {
            Problem::invalid("the header `If-Match` is not one entity tag in quotes, such as \"3\"")
        })?;
        let revision = tag.split('-').next().unwrap_or_default();
        // A tag of another form is none that this server has sent, so that it matches nothing.
        let revision = revision.parse::<Counter>().map_err(|_| mismatch())?;
        Ok(Self(Some(Revision::new(revision.get()))))
    }

    /// The required revision.
    pub(crate) const fn revision(self) -> Option<Revision> {
        self.0
    }

    /// Returns the problem of a failed call. With a required revision, a stale call is a failed precondition.
    pub(crate) fn problem(self, problem: Problem) -> Problem {
        if self.0.is_some() { problem.of_precondition() } else { problem }
    }
}

fn mismatch() -> Problem {
    let error = PersistError::new(ErrorKind::Stale, "the entity tag is not that of the message");
    Problem::from(error.with_effect(throughline_core::Effect::NotApplied)).of_precondition()
}

impl FromRequestParts<RouterState> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &RouterState) -> Result<Self, Problem> {
        if parts.headers.contains_key(header::IF_NONE_MATCH) {
            return Err(Problem::invalid("the header `If-None-Match` is for reads: send `If-Match`"));
        }
        Self::of(&parts.headers)
    }
}

/// Refuses the header `If-Match`, for a route whose item has no revision.
pub(crate) struct NoIfMatch;

impl FromRequestParts<RouterState> for NoIfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &RouterState) -> Result<Self, Problem> {
        if parts.headers.contains_key(header::IF_MATCH) {
            return Err(Problem::invalid("a thread has no entity tag: leave the header `If-Match` out"));
        }
        Ok(Self)
    }
}

/// The header `If-None-Match` of a read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IfNoneMatch(Option<String>);

impl IfNoneMatch {
    /// Whether the client has this representation already.
    pub(crate) fn matches(&self, tag: &HeaderValue) -> bool {
        let (Some(text), Ok(tag)) = (&self.0, tag.to_str()) else { return false };
        text.split(',').map(str::trim).any(|known| known == "*" || known.trim_start_matches("W/") == tag)
    }
}

impl FromRequestParts<RouterState> for IfNoneMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &RouterState) -> Result<Self, Problem> {
        Ok(Self(single(&parts.headers, &header::IF_NONE_MATCH)?.map(str::to_owned)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn if_match(text: &str) -> Result<Option<u64>, u16> {
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_MATCH, text.parse().unwrap());
        let matched = IfMatch::of(&headers).map_err(|problem| problem.status().as_u16())?;
        Ok(matched.revision().map(Revision::get))
    }

    #[test]
    fn if_match_reads_the_revision_of_a_tag() {
        assert_eq!(if_match("\"3\""), Ok(Some(3)));
        assert_eq!(if_match("\"3-0f9a3c5e1b2d4a60\""), Ok(Some(3)));
        assert_eq!(if_match("*"), Ok(None));
        for foreign in ["\"abc\"", "\"\"", "W/\"3\"", "\"99999999999999999999\""] {
            assert_eq!(if_match(foreign), Err(412), "{foreign}");
        }
        for malformed in ["3", "\"3\", \"4\"", "\"3"] {
            assert_eq!(if_match(malformed), Err(400), "{malformed}");
        }
    }

    #[test]
    fn if_none_match_compares_the_whole_tag() {
        let tag = message_tag(Revision::new(3), b"{}");
        let text = tag.to_str().unwrap().to_owned();
        for (header, is_match) in [
            (text.clone(), true),
            (format!("W/{text}"), true),
            (format!("\"1\", {text}"), true),
            ("*".to_owned(), true),
            ("\"3\"".to_owned(), false),
            (message_tag(Revision::new(3), b"{ }").to_str().unwrap().to_owned(), false),
        ] {
            assert_eq!(IfNoneMatch(Some(header.clone())).matches(&tag), is_match, "{header}");
        }
        assert!(!IfNoneMatch(None).matches(&tag));
    }
}
