//! The schemas of a batch.

#![expect(dead_code, reason = "only schemas")]

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::ToSchema;

/// Several writes in one transaction.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Batch {
    /// The writes in order. Each is an object with the name of the operation as its only member, in the wire format of the
    /// library: `add`, `reserve`, `updateContent`, `update`, `delete`, `thread` or `session`.
    items: Vec<BTreeMap<String, Value>>,
    /// The required last sequence number of the thread of the first item.
    after: Option<u64>,
    /// The most bytes of stored data in the answers.
    max_answer_bytes: Option<u64>,
}

/// The answers of a batch.
#[derive(ToSchema)]
pub(crate) struct Batched {
    /// The answers in the order of the items. Each is an object with the name of the operation as its only member.
    outputs: Vec<BTreeMap<String, Value>>,
    deduplicated: bool,
}
