//! The schemas of messages and drafts.

#![expect(dead_code, reason = "only schemas")]

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::ToSchema;

/// The author of a message.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) enum Role {
    User,
    Assistant,
    System,
    Tool,
}

/// The state of a message.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) enum MessageState {
    Reserved,
    Streaming,
    Final,
    Abandoned,
}

/// The lease of the writer of an open message.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Lease {
    /// The duration of one renewal, in milliseconds.
    duration: u64,
    /// The time at which it expires, in microseconds since 1970.
    expires_at: i64,
}

/// A message.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Message {
    tenant: String,
    thread: String,
    id: String,
    /// The sequence number in the thread.
    seq: u64,
    role: Role,
    state: MessageState,
    /// The revision of the content and the state.
    revision: u64,
    /// The blocks.
    content: Vec<Value>,
    metadata: BTreeMap<String, Value>,
    #[schema(required = false)]
    attachments: Vec<String>,
    #[schema(nullable = false)]
    abandon_reason: Option<String>,
    #[schema(nullable = false)]
    lease: Option<Lease>,
    /// Microseconds since 1970.
    created_at: i64,
    /// Microseconds since 1970.
    updated_at: i64,
}

/// A new complete message. It has one of `content` and `text`.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct NewMessage {
    /// The id. Without one, the server generates it.
    id: Option<String>,
    role: Role,
    /// The blocks.
    content: Option<Vec<Value>>,
    /// One text block.
    text: Option<String>,
    #[schema(required = false)]
    metadata: BTreeMap<String, Value>,
    #[schema(required = false)]
    attachments: Vec<String>,
    /// The time of creation in microseconds since 1970, for an import.
    created_at: Option<i64>,
    /// The required generation of the thread.
    generation: Option<u64>,
    /// The required last sequence number of the thread.
    after: Option<u64>,
}

/// A page of messages.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct MessagePage {
    thread: String,
    /// The messages in the requested order.
    messages: Vec<Message>,
    /// The messages of the page that the store cannot read.
    damaged: Vec<DamagedMessage>,
    /// Whether there are more messages in the direction of the page.
    has_more: bool,
    /// The query parameter of the next page.
    #[schema(nullable = false)]
    next: Option<NextPage>,
    /// The first open message.
    #[schema(nullable = false)]
    first_open: Option<u64>,
    /// The last sequence number that the thread has assigned.
    last_seq: u64,
    /// The position of the page. Changes after it are not on the page.
    position: u64,
}

/// A page of messages that a find by metadata found.
#[derive(ToSchema)]
pub(crate) struct FoundPage {
    /// The messages in the requested order.
    messages: Vec<Message>,
    /// The damaged messages with an entry in the index. Each counts for the limit.
    damaged: Vec<DamagedMessage>,
    /// The value of `after` for the next page.
    #[schema(nullable = false)]
    next: Option<String>,
}

/// The query parameter of the next page: one of the two.
#[derive(ToSchema)]
pub(crate) struct NextPage {
    #[schema(nullable = false)]
    after: Option<u64>,
    #[schema(nullable = false)]
    before: Option<u64>,
}

/// A message that the store cannot read.
#[derive(ToSchema)]
pub(crate) struct DamagedMessage {
    thread: String,
    #[schema(nullable = false)]
    seq: Option<u64>,
    #[schema(nullable = false)]
    id: Option<String>,
}

/// A merge patch of a message.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct MessagePatch {
    /// The names to set; `null` removes a name. `null` for the whole map removes every name.
    metadata: Option<BTreeMap<String, Value>>,
    /// The names to set where the message does not have them. No value is `null`, and no name is in `metadata`.
    #[schema(required = false)]
    where_absent: BTreeMap<String, Value>,
    /// The attachment keys; `null` removes all.
    attachments: Option<Vec<String>>,
}

/// The metadata and the attachments of a message after a patch.
#[derive(ToSchema)]
pub(crate) struct Updated {
    thread: String,
    id: String,
    seq: u64,
    metadata: BTreeMap<String, Value>,
    /// The names of `whereAbsent` that the message had already.
    #[schema(required = false)]
    kept: Vec<String>,
    attachments: Vec<String>,
    revision: u64,
    deduplicated: bool,
}

/// The revision and the state of a message after a change of its content.
#[derive(ToSchema)]
pub(crate) struct ContentUpdated {
    thread: String,
    id: String,
    revision: u64,
    state: MessageState,
    deduplicated: bool,
}

/// The facts of a deleted message.
#[derive(ToSchema)]
pub(crate) struct Deleted {
    thread: String,
    id: String,
    seq: u64,
    revision: u64,
    state: MessageState,
    attachments: Vec<String>,
    deduplicated: bool,
}

/// A reservation of a message.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct NewReservation {
    /// The id. Without one, the server generates it.
    id: Option<String>,
    /// The author: by default the assistant.
    role: Option<Role>,
    #[schema(required = false)]
    metadata: BTreeMap<String, Value>,
    #[schema(required = false)]
    attachments: Vec<String>,
    /// The lease in milliseconds, at most 30 days. By default one minute.
    lease: Option<u64>,
    /// The time of creation in microseconds since 1970, for an import.
    created_at: Option<i64>,
    /// The required generation of the thread.
    generation: Option<u64>,
    /// The required last sequence number of the thread.
    after: Option<u64>,
}

/// An append to a draft: text or blocks, with its number.
#[derive(ToSchema)]
pub(crate) struct Append {
    /// The number of the append, from 1.
    #[schema(minimum = 1)]
    number: Option<u64>,
    text: Option<String>,
    blocks: Option<Vec<Value>>,
}

/// The last write of a draft: at most one of the three.
#[derive(ToSchema)]
pub(crate) struct Finish {
    /// The last text.
    text: Option<String>,
    /// The last blocks.
    blocks: Option<Vec<Value>>,
    /// The whole content, instead of everything before.
    content: Option<Vec<Value>>,
}

/// The reason of an abandonment.
#[derive(ToSchema)]
pub(crate) struct Abandon {
    /// The reason, for people.
    reason: Option<String>,
}
