//! The schemas of changes and of search.

#![expect(dead_code, reason = "only schemas")]

use serde_json::Value;
use utoipa::ToSchema;

use super::messages::Role;

/// A page of changes.
#[derive(ToSchema)]
pub(crate) struct Changes {
    /// The changes in commit order.
    changes: Vec<Change>,
    /// The value of `after` for the next request.
    position: u64,
    /// Whether there are more changes now.
    more: bool,
}

/// A change event.
#[derive(ToSchema)]
pub(crate) struct Change {
    position: u64,
    tenant: String,
    thread: String,
    /// Microseconds since 1970.
    at: i64,
    /// The name of the kind, or an object with the name as its only member, such as `{"added":{"id":"m","seq":1,"revision":1}}`.
    kind: Value,
}

/// The result of a search.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct SearchHits {
    /// The best matches first.
    hits: Vec<SearchHit>,
    /// The threads of matching messages that the store cannot read.
    #[schema(required = false)]
    damaged: Vec<String>,
    /// The position up to which the full-text index has all changes.
    indexed: u64,
    /// Whether the search stopped at a limit.
    #[schema(required = false)]
    terminated_early: bool,
}

/// A message that matches a search.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct SearchHit {
    thread: String,
    id: String,
    seq: u64,
    role: Role,
    /// Microseconds since 1970.
    created_at: i64,
    /// An excerpt around the first matched term.
    snippet: String,
    /// The byte ranges of the matched terms in the snippet: start and end.
    marks: Vec<Vec<u32>>,
}
