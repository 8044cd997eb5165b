//! The schemas of tail reads and of the stream of a thread.

#![expect(dead_code, reason = "only schemas")]

use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::{
    messages::{DamagedMessage, Message, MessageState},
    threads::ThreadSummary,
};

/// The query of a tail read.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ContentQuery {
    /// The `next` of the previous answer.
    after: Option<String>,
    /// The most bytes of content; 8 MiB by default. A block is never divided.
    #[param(minimum = 1, maximum = 67_108_864)]
    limit: Option<u32>,
}

/// The query of a stream.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct StreamQuery {
    /// The `id` of the last received event, or the `position` of a page; 0 for the whole thread. Required without
    /// `Last-Event-ID`.
    after: Option<String>,
}

/// An append: text, which continues a plain text block at the end of the content or starts one, or further blocks.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) enum ContentPart {
    Text(String),
    Blocks(Vec<Value>),
}

/// The content of a message after a cursor.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct ContentTail {
    thread: String,
    id: String,
    seq: u64,
    state: MessageState,
    revision: u64,
    /// Whether the content was replaced since the cursor. Then the answer begins at the start.
    replaced: bool,
    /// The appends in their order.
    parts: Vec<ContentPart>,
    /// The cursor of the next read.
    next: String,
    /// Whether there is more content now.
    has_more: bool,
}

/// The events of a stream: each member is the data of the event with its name.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct ThreadEvent {
    /// A complete message was added.
    #[schema(nullable = false)]
    added: Option<Message>,
    /// A reply begins. Its content is empty here.
    #[schema(nullable = false)]
    reserved: Option<Message>,
    /// Content was appended.
    #[schema(nullable = false)]
    delta: Option<AppendedContent>,
    /// The content begins again: discard what you have of it.
    #[schema(nullable = false)]
    replaced: Option<AppendedContent>,
    /// A message is final.
    #[schema(nullable = false)]
    finished: Option<EndedMessage>,
    /// A message was abandoned.
    #[schema(nullable = false)]
    abandoned: Option<EndedMessage>,
    /// A final message was edited.
    #[schema(nullable = false)]
    edited: Option<Message>,
    /// Metadata or attachments were changed. The content is empty here and has not changed.
    #[schema(nullable = false)]
    updated: Option<Message>,
    /// A message was deleted.
    #[schema(nullable = false)]
    deleted: Option<DeletedMessage>,
    /// The thread was created or changed.
    #[schema(nullable = false)]
    thread: Option<ThreadSummary>,
    /// The messages up to a sequence number were deleted.
    #[schema(nullable = false)]
    cleared: Option<DeletedMessages>,
    /// The messages up to a sequence number were deleted.
    #[schema(nullable = false)]
    pruned: Option<DeletedMessages>,
    /// The thread was deleted. The data is empty.
    thread_deleted: Option<Value>,
    /// A message is damaged.
    #[schema(nullable = false)]
    damaged: Option<DamagedMessage>,
    /// A change cannot be read.
    #[schema(nullable = false)]
    unreadable: Option<UnreadableChange>,
}

/// Appended content.
#[derive(ToSchema)]
pub(crate) struct AppendedContent {
    id: String,
    seq: u64,
    revision: u64,
    state: MessageState,
    /// The appends in their order.
    parts: Vec<ContentPart>,
}

/// A settled message.
#[derive(ToSchema)]
pub(crate) struct EndedMessage {
    id: String,
    seq: u64,
    revision: u64,
    /// The reason of an abandoned message.
    #[schema(nullable = false)]
    reason: Option<String>,
}

/// A deleted message.
#[derive(ToSchema)]
pub(crate) struct DeletedMessage {
    id: String,
    seq: u64,
}

/// Deleted messages.
#[derive(ToSchema)]
pub(crate) struct DeletedMessages {
    /// The new generation, after a clear.
    #[schema(nullable = false)]
    generation: Option<u64>,
    /// The sequence number of the last deleted message.
    through: u64,
}

/// A change that cannot be read.
#[derive(ToSchema)]
pub(crate) struct UnreadableChange {
    why: String,
}
