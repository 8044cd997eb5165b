//! The schemas of threads.

#![expect(dead_code, reason = "only schemas")]

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::ToSchema;

/// A new thread.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct NewThread {
    /// The id. Without one, the server generates it.
    id: Option<String>,
    title: Option<String>,
    owner: Option<String>,
    #[schema(required = false)]
    labels: BTreeMap<String, String>,
    #[schema(required = false)]
    metadata: BTreeMap<String, Value>,
    /// The time of creation in microseconds since 1970, for an import.
    created_at: Option<i64>,
    /// Whether lists omit the thread until it is published.
    #[schema(required = false)]
    hidden: bool,
    /// Whether the ids of deleted messages can be used again. The thread keeps this for its life.
    #[schema(required = false)]
    reuses_ids: bool,
}

/// The summary of a thread.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct ThreadSummary {
    tenant: String,
    thread: String,
    title: String,
    #[schema(nullable = false)]
    owner: Option<String>,
    #[schema(required = false)]
    labels: BTreeMap<String, String>,
    #[schema(required = false)]
    metadata: BTreeMap<String, Value>,
    archived: bool,
    /// Whether lists show the thread.
    listed: bool,
    /// Whether the ids of deleted messages can be used again.
    #[schema(required = false)]
    reuses_ids: bool,
    generation: u64,
    /// The last sequence number that the thread has assigned.
    last_seq: u64,
    #[schema(nullable = false)]
    forked_from: Option<ForkPoint>,
    /// The begin of the latest user message.
    #[schema(nullable = false)]
    preview: Option<String>,
    /// The number of final messages.
    messages: u64,
    /// The number of final user messages.
    turns: u64,
    /// The bytes of content in final messages.
    bytes: u64,
    /// Microseconds since 1970.
    created_at: i64,
    /// Microseconds since 1970.
    active_at: i64,
    /// Microseconds since 1970.
    updated_at: i64,
}

/// The source of a fork.
#[derive(ToSchema)]
pub(crate) struct ForkPoint {
    thread: String,
    message: String,
}

/// A page of threads.
#[derive(ToSchema)]
pub(crate) struct ThreadPage {
    /// The threads, in the requested order.
    threads: Vec<ThreadSummary>,
    /// The threads of the page whose summary the store cannot read.
    damaged: Vec<String>,
    /// The value of `after` for the next page.
    #[schema(nullable = false)]
    next: Option<String>,
    /// The position of the page. Changes after it are not on the page.
    position: u64,
}

/// A merge patch of a thread.
#[derive(ToSchema)]
pub(crate) struct ThreadPatch {
    /// The title; `null` clears it.
    title: Option<String>,
    /// The owner; `null` removes it.
    owner: Option<String>,
    /// The labels to set; `null` removes a label. `null` for the whole map removes every label.
    labels: Option<BTreeMap<String, Option<String>>>,
    /// The names to set; `null` removes a name. `null` for the whole map removes every name.
    metadata: Option<BTreeMap<String, Value>>,
    /// Whether the thread is archived; `null` means `false`.
    archived: Option<bool>,
}

/// The deletion of a thread.
#[derive(ToSchema)]
pub(crate) struct ThreadDeleted {
    thread: String,
    /// Whether the thread was already deleted.
    already: bool,
    deduplicated: bool,
}
