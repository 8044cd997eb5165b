//! The routes of messages: add, list, read, patch, edit and delete.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use throughline_core::{
    Content, Message, MessageId, Metadata, MetadataPatch, NewMessage, Persistence, Position, Role, Seq,
    ThreadId, Timestamp,
    ids::AttachmentKey,
    messages::{
        Add, ContentChange, DamagedMessage, Delete, Page, PageFrom, ReadPage, Update, UpdateContent,
        UpdateMode, Visibility,
    },
    threads::Generation,
};

use crate::{
    answer::Answer,
    extract::{
        Counter, Ids, IfMatch, IfNoneMatch, JsonBody, Key, Params, derived_key, message_tag, present,
        revision_tag,
    },
    problem::Problem,
    schema::{self, Problems},
    state::{Db, RouterState},
    threads::clear_metadata,
    write::detached,
};

/// The body of a new message.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NewMessageBody {
    id: Option<MessageId>,
    role: Role,
    content: Option<Content>,
    text: Option<String>,
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    attachments: Vec<AttachmentKey>,
    created_at: Option<Timestamp>,
    generation: Option<Counter>,
    after: Option<Counter>,
}

/// Returns the answer with a whole message and its entity tag.
pub(crate) fn answer_of(message: &Message) -> Answer {
    let json = serde_json::to_vec(message).expect("a message serializes into memory");
    let tag = message_tag(message.revision, &json);
    Answer::of_json(json).tagged(tag)
}

/// Adds a complete message. The first message creates the thread. With an `Idempotency-Key`, a repeated request adds the
/// message once.
#[utoipa::path(
    post, path = "/v1/threads/{thread}/messages", operation_id = "addMessage", tag = "messages",
    params(schema::ThreadPath, schema::IdempotencyKeyHeader),
    request_body = schema::NewMessage,
    responses(
        (status = 201, description = "The new message", body = schema::Message,
            headers(("ETag" = String), ("Location" = String))),
        (status = 200, description = "The message of an earlier request with the same key", body = schema::Message,
            headers(("Idempotency-Replayed" = String), ("ETag" = String), ("Location" = String))),
        Problems,
    ),
)]
pub(crate) async fn add(
    Db(db): Db,
    Ids(thread): Ids<ThreadId>,
    Key(key): Key,
    JsonBody(body): JsonBody<NewMessageBody>,
) -> Result<impl IntoResponse, Problem> {
    let NewMessageBody { id, role, content, text, metadata, attachments, created_at, generation, after } =
        body;
    let content = match (content, text) {
        (Some(content), None) => content,
        (None, Some(text)) => Content::text(&text),
        _ => return Err(Problem::invalid("the body needs one of `content` and `text`")),
    };
    let mut message = NewMessage::new(role, content).with_metadata(metadata).with_attachments(attachments);
    if let Some(id) = id {
        message = message.with_id(id);
    }
    if let Some(created_at) = created_at {
        message = message.created_at(created_at);
    }
    if let Some(generation) = generation {
        message = message.in_generation(Generation::new(generation.get()));
    }
    if let Some(after) = after {
        message = message.after(Seq::new(after.get()));
    }
    let mut request = db.run(Add::new(thread, message));
    if let Some(key) = key {
        request = request.key(key);
    }
    let added = detached(request).await?;
    let id = added.message.id.clone();
    Ok(answer_of(&added.message).replayed(added.deduplicated).created("messages", id.as_str()))
}

/// A page of messages, with the cursor of the next one.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct MessagePage {
    thread: ThreadId,
    messages: Vec<Message>,
    damaged: Vec<DamagedMessage>,
    has_more: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<NextPage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_open: Option<Seq>,
    last_seq: Seq,
    position: Position,
}

/// The query parameter of the next page.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
enum NextPage {
    After(Seq),
    Before(Seq),
}

/// Lists messages. Without a cursor, `order=asc` begins with the oldest message and `order=desc` with the latest one. `after`
/// shows the messages after a sequence number, `before` the ones before it. The messages of a page are in the requested order.
#[utoipa::path(
    get, path = "/v1/threads/{thread}/messages", operation_id = "listMessages", tag = "messages",
    params(schema::ThreadPath, schema::ListMessagesQuery),
    responses((status = 200, description = "A page of messages", body = schema::MessagePage), Problems),
)]
pub(crate) async fn list(
    State(state): State<RouterState>,
    Db(db): Db,
    Ids(thread): Ids<ThreadId>,
    mut params: Params,
) -> Result<impl IntoResponse, Problem> {
    let limit = params.limit(state.options().page_limit)?;
    let is_ascending = params.one_of("order", &[("asc", true), ("desc", false)])?.unwrap_or(true);
    let visibilities =
        [("all", Visibility::All), ("final", Visibility::Final), ("settled", Visibility::Settled)];
    let visibility = params.one_of("visibility", &visibilities)?.unwrap_or_default();
    let from = match (params.counter("after")?, params.counter("before")?) {
        (Some(after), None) => PageFrom::After(Seq::new(after)),
        (None, Some(before)) => PageFrom::Before(Seq::new(before)),
        (None, None) if is_ascending => PageFrom::Start,
        (None, None) => PageFrom::End,
        (Some(_), Some(_)) => return Err(Problem::invalid("the query has both `after` and `before`")),
    };
    params.end()?;
    let page = db.read(ReadPage::new(thread, from, limit).showing(visibility)).await?;
    let next = match page.next(from) {
        Some(PageFrom::After(seq)) => Some(NextPage::After(seq)),
        Some(PageFrom::Before(seq)) => Some(NextPage::Before(seq)),
        Some(PageFrom::Start | PageFrom::End) | None => None,
    };
    let Page { thread, mut messages, damaged, has_more, first_open, last_seq, position } = page;
    if !is_ascending {
        messages.reverse();
    }
    let page = MessagePage { thread, messages, damaged, has_more, next, first_open, last_seq, position };
    Ok(Answer::ok(&page))
}

async fn read(db: &Persistence, thread: ThreadId, id: MessageId) -> Result<Message, Problem> {
    db.thread(thread).get(id).await?.ok_or_else(|| Problem::not_found("there is no such message"))
}

/// Reads a message. With `If-None-Match`, an unchanged message is 304.
#[utoipa::path(
    get, path = "/v1/threads/{thread}/messages/{message}", operation_id = "getMessage", tag = "messages",
    params(schema::MessagePath, schema::IfNoneMatchHeader),
    responses(
        (status = 200, description = "The message", body = schema::Message, headers(("ETag" = String))),
        (status = 304, description = "The message is unchanged", headers(("ETag" = String))),
        Problems,
    ),
)]
pub(crate) async fn get(
    Db(db): Db,
    Ids((thread, id)): Ids<(ThreadId, MessageId)>,
    known: IfNoneMatch,
) -> Result<Response, Problem> {
    let mut response = answer_of(&read(&db, thread, id).await?).into_response();
    let is_known = response.headers().get(header::ETAG).is_some_and(|tag| known.matches(tag));
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.body_mut() = axum::body::Body::empty();
        response.headers_mut().remove(header::CONTENT_TYPE);
    }
    Ok(response)
}

/// A merge patch of a message: an absent member keeps its value, `null` clears it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct MessagePatch {
    #[serde(default, deserialize_with = "present")]
    metadata: Option<Option<MetadataPatch>>,
    #[serde(default)]
    where_absent: Metadata,
    #[serde(default, deserialize_with = "present")]
    attachments: Option<Option<Vec<AttachmentKey>>>,
}

/// Changes the metadata and the attachment keys of a message, in any state. The body is a JSON merge patch. A `null` for all
/// metadata clears the names that the message has when the request arrives. `whereAbsent` sets names only where the message does
/// not have them; the answer lists the others in `kept`. The revision does not change.
#[utoipa::path(
    patch, path = "/v1/threads/{thread}/messages/{message}", operation_id = "patchMessage", tag = "messages",
    params(schema::MessagePath, schema::IdempotencyKeyHeader, schema::IfMatchHeader),
    request_body(content = schema::MessagePatch, content_type = "application/merge-patch+json"),
    responses(
        (status = 200, description = "The metadata and the attachments after the patch", body = schema::Updated,
            headers(("ETag" = String), ("Idempotency-Replayed" = String))),
        Problems,
    ),
)]
pub(crate) async fn patch(
    Db(db): Db,
    Ids((thread, id)): Ids<(ThreadId, MessageId)>,
    Key(mut key): Key,
    if_match: IfMatch,
    JsonBody(body): JsonBody<MessagePatch>,
) -> Result<impl IntoResponse, Problem> {
    let metadata = match body.metadata {
        None => MetadataPatch::new(),
        Some(Some(patch)) => patch,
        Some(None) => {
            let message = read(&db, thread.clone(), id.clone()).await?;
            let patch = clear_metadata(Some(&message.metadata));
            if let Some(given) = key {
                // A repeated request finds other names, and so it is another write. Clearing twice has the effect of once.
                let names = serde_json::to_string(&patch).unwrap_or_default();
                key = Some(derived_key("patch", &[given.as_str(), &names])?);
            }
            patch
        }
    };
    let mut update = Update::new(thread, id, metadata).with_absent(body.where_absent);
    update.attachments = body.attachments.map(Option::unwrap_or_default);
    update.expected = if_match.revision();
    let mut request = db.run(update);
    if let Some(key) = key {
        request = request.key(key);
    }
    let updated = detached(request).await.map_err(|problem| if_match.problem(problem))?;
    Ok(Answer::ok(&updated).tagged(revision_tag(updated.revision)).replayed(updated.deduplicated))
}

/// Replaces the content of a final message. The body is the JSON array of blocks. An open message answers 409: finish it
/// first.
#[utoipa::path(
    put, path = "/v1/threads/{thread}/messages/{message}/content", operation_id = "editMessageContent", tag = "messages",
    params(schema::MessagePath, schema::IdempotencyKeyHeader, schema::IfMatchHeader),
    request_body = Vec<serde_json::Value>,
    responses(
        (status = 200, description = "The revision after the edit", body = schema::ContentUpdated,
            headers(("ETag" = String), ("Idempotency-Replayed" = String))),
        Problems,
    ),
)]
pub(crate) async fn put_content(
    Db(db): Db,
    Ids((thread, id)): Ids<(ThreadId, MessageId)>,
    Key(key): Key,
    if_match: IfMatch,
    JsonBody(content): JsonBody<Content>,
) -> Result<impl IntoResponse, Problem> {
    let mut edit = UpdateContent::new(thread, id, ContentChange::Replace(content), UpdateMode::Edit);
    edit.expected = if_match.revision();
    let mut request = db.run(edit);
    if let Some(key) = key {
        request = request.key(key);
    }
    let updated = detached(request).await.map_err(|problem| if_match.problem(problem))?;
    Ok(Answer::ok(&updated).tagged(revision_tag(updated.revision)).replayed(updated.deduplicated))
}

/// Deletes a message, in any state. A tombstone keeps its id, unless the thread reuses ids.
#[utoipa::path(
    delete, path = "/v1/threads/{thread}/messages/{message}", operation_id = "deleteMessage", tag = "messages",
    params(schema::MessagePath, schema::IdempotencyKeyHeader, schema::IfMatchHeader),
    responses(
        (status = 200, description = "The facts of the deleted message", body = schema::Deleted,
            headers(("Idempotency-Replayed" = String))),
        Problems,
    ),
)]
pub(crate) async fn delete(
    Db(db): Db,
    Ids((thread, id)): Ids<(ThreadId, MessageId)>,
    Key(key): Key,
    if_match: IfMatch,
) -> Result<impl IntoResponse, Problem> {
    let mut delete = Delete::new(thread, id);
    delete.expected = if_match.revision();
    let mut request = db.run(delete);
    if let Some(key) = key {
        request = request.key(key);
    }
    let deleted = detached(request).await.map_err(|problem| if_match.problem(problem))?;
    Ok(Answer::ok(&deleted).replayed(deleted.deduplicated))
}
