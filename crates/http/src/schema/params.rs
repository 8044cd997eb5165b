//! The schemas of paths, queries and headers.

#![expect(dead_code, reason = "only schemas")]

use std::collections::BTreeMap;

use utoipa::IntoParams;

/// The path of a thread.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct ThreadPath {
    /// The id of the thread, percent-encoded.
    thread: String,
}

/// The path of a message.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct MessagePath {
    /// The id of the thread, percent-encoded.
    thread: String,
    /// The id of the message, percent-encoded.
    message: String,
}

/// The path of the sessions of an agent in a thread.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct SessionPath {
    /// The id of the thread, percent-encoded.
    thread: String,
    /// The id of the agent, percent-encoded.
    agent: String,
}

/// The key of a repeatable write.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(crate) struct IdempotencyKeyHeader {
    /// The name of the intended change, 1 to 255 bytes. A second request with the same key and body is applied once.
    #[param(rename = "Idempotency-Key")]
    key: Option<String>,
}

/// The required revision of a write.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(crate) struct IfMatchHeader {
    /// The entity tag of the message. The server compares its revision.
    #[param(rename = "If-Match")]
    tag: Option<String>,
}

/// The known representation of a read.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(crate) struct IfNoneMatchHeader {
    /// The entity tag of the known representation.
    #[param(rename = "If-None-Match")]
    tag: Option<String>,
}

/// The position to resume from.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(crate) struct LastEventIdHeader {
    /// The `id` of the last received event. It takes precedence over `after`.
    #[param(rename = "Last-Event-ID")]
    id: Option<String>,
}

/// The query of a list of threads.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListThreadsQuery {
    /// Only the threads of this owner.
    owner: Option<String>,
    /// Only the threads with these labels, as `labels[name]=value`.
    #[param(style = DeepObject, explode)]
    labels: Option<BTreeMap<String, String>>,
    /// `true`, `false` (the default) or `any`.
    archived: Option<String>,
    /// `true` for threads without a settled message too; `false` is the default.
    unlisted: Option<String>,
    /// `latestActivity` (the default), `newestCreated` or `oldestCreated`.
    order: Option<String>,
    /// The `next` of the previous page, of a list in the same order.
    after: Option<String>,
    /// The most threads of the page.
    #[param(minimum = 1)]
    limit: Option<u32>,
}

/// The query of a page of messages.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListMessagesQuery {
    /// Only messages after this sequence number.
    after: Option<u64>,
    /// Only messages before this sequence number. Not together with `after`.
    before: Option<u64>,
    /// `asc` (the default, oldest first) or `desc`.
    order: Option<String>,
    /// The most messages of the page.
    #[param(minimum = 1)]
    limit: Option<u32>,
    /// `all` (the default), `final` for the history of a model, or `settled` up to the first open message.
    visibility: Option<String>,
}

/// The query of the changes.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ChangesQuery {
    /// The position of the last known change; 0 for all. Required without `Last-Event-ID`.
    after: Option<u64>,
    /// Only the changes of this thread.
    thread: Option<String>,
    /// The most changes of a long poll.
    #[param(minimum = 1)]
    limit: Option<u32>,
    /// The seconds that a long poll waits for the first change. The default is 0.
    wait: Option<u64>,
}

/// The query of a search.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct SearchQuery {
    /// The terms.
    q: String,
    /// Only messages of this thread.
    thread: Option<String>,
    /// The most hits.
    #[param(minimum = 1)]
    limit: Option<u32>,
}

/// The query of a find by metadata.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct FindMessagesQuery {
    /// The field and the JSON of its value, as `metadata[name]=JSON`: exactly one field. The value is a string, a boolean, or an
    /// integer of 64 bits. `"17"` is not `17`.
    #[param(style = DeepObject, explode)]
    metadata: BTreeMap<String, String>,
    /// Only messages of this thread, in its order. Without it, the messages are ordered by time of creation.
    thread: Option<String>,
    /// `newestFirst` (the default) or `oldestFirst`.
    order: Option<String>,
    /// `final` (the default), `settled` with abandoned messages, or `all` with open ones too.
    visibility: Option<String>,
    /// The `next` of the previous page, of the same find.
    after: Option<String>,
    /// The most messages of the page.
    #[param(minimum = 1)]
    limit: Option<u32>,
    /// The most bytes of the page, 8 MiB by default. It shows at least one message.
    #[param(rename = "maxBytes", minimum = 1, maximum = 67_108_864)]
    max_bytes: Option<u32>,
}

/// The query of the audit log.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditQuery {
    /// Only the entries of this thread.
    thread: Option<String>,
    /// Only the entries after this number.
    after: Option<u64>,
    /// Only the entries before this number. Not together with `after`. Without both, the page has the last entries.
    before: Option<u64>,
    /// The most entries of the page.
    #[param(minimum = 1)]
    limit: Option<u32>,
}
