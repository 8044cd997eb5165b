//! The routes of drafts: reserve, append, finish and abandon a streamed message.
//!
//! The writer numbers its appends. The router derives an idempotency key from the draft and the number, and the store keeps the
//! key in the commit of the append. A repeated append is therefore applied once, also after a lost answer, a restart, or on
//! another replica of the server. The revision cannot be the number: a layer such as `redact` buffers text, and such an append
//! changes no revision.

use std::time::Duration;

use axum::response::IntoResponse;
use serde::Deserialize;
use throughline_core::{
    Content, Delta, IdempotencyKey, MessageId, Metadata, NewReservation, Persistence, Role, Seq, ThreadId,
    Timestamp,
    ids::AttachmentKey,
    messages::{ContentChange, Reserve, UpdateContent, UpdateMode},
    threads::Generation,
};

use crate::{
    answer::Answer,
    extract::{Counter, Ids, IfMatch, JsonBody, Key, OptionalBody, derived_key, revision_tag},
    messages::answer_of,
    problem::Problem,
    schema::{self, Problems},
    state::Db,
    write::detached,
};

/// The body of a reservation.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ReserveBody {
    id: Option<MessageId>,
    role: Option<Role>,
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    attachments: Vec<AttachmentKey>,
    lease: Option<Counter>,
    created_at: Option<Timestamp>,
    generation: Option<Counter>,
    after: Option<Counter>,
}

/// Reserves a message for a streamed reply. The message has its id and its sequence number before the first token. Each append
/// renews its lease.
#[utoipa::path(
    post, path = "/v1/threads/{thread}/drafts", operation_id = "reserveDraft", tag = "drafts",
    params(schema::ThreadPath, schema::IdempotencyKeyHeader),
    request_body = schema::NewReservation,
    responses(
        (status = 201, description = "The reserved message", body = schema::Message,
            headers(("ETag" = String), ("Location" = String))),
        (status = 200, description = "The message of an earlier request with the same key", body = schema::Message,
            headers(("Idempotency-Replayed" = String), ("ETag" = String), ("Location" = String))),
        Problems,
    ),
)]
pub(crate) async fn reserve(
    Db(db): Db,
    Ids(thread): Ids<ThreadId>,
    Key(key): Key,
    JsonBody(body): JsonBody<ReserveBody>,
) -> Result<impl IntoResponse, Problem> {
    let ReserveBody { id, role, metadata, attachments, lease, created_at, generation, after } = body;
    let mut reservation = NewReservation::new(role.unwrap_or(Role::Assistant))
        .with_metadata(metadata)
        .with_attachments(attachments);
    if let Some(id) = id {
        reservation = reservation.with_id(id);
    }
    if let Some(lease) = lease {
        reservation = reservation.with_lease(Duration::from_millis(lease.get()));
    }
    if let Some(created_at) = created_at {
        reservation = reservation.created_at(created_at);
    }
    if let Some(generation) = generation {
        reservation = reservation.in_generation(Generation::new(generation.get()));
    }
    if let Some(after) = after {
        reservation = reservation.after(Seq::new(after.get()));
    }
    let mut request = db.run(Reserve::new(thread, reservation));
    if let Some(key) = key {
        request = request.key(key);
    }
    let reserved = detached(request).await?;
    let id = reserved.message.id.clone();
    Ok(answer_of(&reserved.message).replayed(reserved.deduplicated).created("messages", id.as_str()))
}

/// The body of an append.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct AppendBody {
    number: Option<Counter>,
    text: Option<String>,
    blocks: Option<Content>,
}

/// Returns the change of at most one kind of content.
fn change_of(
    text: Option<String>,
    blocks: Option<Content>,
    content: Option<Content>,
) -> Result<ContentChange, Problem> {
    match (text, blocks, content) {
        (None, None, None) => Ok(ContentChange::none()),
        (Some(text), None, None) => Ok(ContentChange::Append(Delta::Text(text))),
        (None, Some(blocks), None) => Ok(ContentChange::Append(Delta::Blocks(blocks))),
        (None, None, Some(content)) => Ok(ContentChange::Replace(content)),
        _ => Err(Problem::invalid("the body has more than one kind of content")),
    }
}

/// Runs an update of a draft.
async fn update(
    db: Persistence,
    mut update: UpdateContent,
    key: Option<IdempotencyKey>,
    if_match: IfMatch,
) -> Result<Answer, Problem> {
    update.expected = if_match.revision();
    let mut request = db.run(update);
    if let Some(key) = key {
        request = request.key(key);
    }
    let updated = detached(request).await.map_err(|problem| if_match.problem(problem))?;
    Ok(Answer::ok(&updated).tagged(revision_tag(updated.revision)).replayed(updated.deduplicated))
}

/// Appends text or blocks. The append is durable when the answer arrives. The writer numbers its appends from 1 and sends the
/// next one after the answer to the previous one. A repeated append with the same number and content is applied once; with other
/// content it is a conflict. An append without content and number only renews the lease.
#[utoipa::path(
    post, path = "/v1/threads/{thread}/drafts/{message}/append", operation_id = "appendToDraft", tag = "drafts",
    params(schema::MessagePath, schema::IdempotencyKeyHeader, schema::IfMatchHeader),
    request_body = schema::Append,
    responses(
        (status = 200, description = "The revision after the append", body = schema::ContentUpdated,
            headers(("ETag" = String), ("Idempotency-Replayed" = String))),
        Problems,
    ),
)]
pub(crate) async fn append(
    Db(db): Db,
    Ids((thread, id)): Ids<(ThreadId, MessageId)>,
    Key(key): Key,
    if_match: IfMatch,
    JsonBody(body): JsonBody<AppendBody>,
) -> Result<impl IntoResponse, Problem> {
    let AppendBody { number, text, blocks } = body;
    let change = change_of(text, blocks, None)?;
    let key = match (key, number) {
        (Some(_), Some(_)) => {
            return Err(Problem::invalid("the append has both a number and an idempotency key"));
        }
        (Some(key), None) => Some(key),
        (None, Some(number)) => Some(append_key(&id, number)?),
        (None, None) if change.is_none() => None,
        (None, None) => {
            return Err(Problem::invalid(
                "the append has no `number`: count the appends of the draft from 1",
            ));
        }
    };
    update(db, UpdateContent::new(thread, id, change, UpdateMode::Partial), key, if_match).await
}

fn append_key(id: &MessageId, number: Counter) -> Result<IdempotencyKey, Problem> {
    if number.get() == 0 {
        return Err(Problem::invalid("the `number` of the first append is 1"));
    }
    derived_key("append", &[id.as_str(), &number.get().to_string()])
}

/// The body of the last write of a draft.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct FinishBody {
    text: Option<String>,
    blocks: Option<Content>,
    content: Option<Content>,
}

/// Finishes a draft: the message becomes final. The body can have the last text or blocks, or the whole content instead of
/// everything before. A repeated request with the same body is applied once, also without an `Idempotency-Key`.
#[utoipa::path(
    post, path = "/v1/threads/{thread}/drafts/{message}/finish", operation_id = "finishDraft", tag = "drafts",
    params(schema::MessagePath, schema::IdempotencyKeyHeader, schema::IfMatchHeader),
    request_body = Option<schema::Finish>,
    responses(
        (status = 200, description = "The revision after the end", body = schema::ContentUpdated,
            headers(("ETag" = String), ("Idempotency-Replayed" = String))),
        Problems,
    ),
)]
pub(crate) async fn finish(
    Db(db): Db,
    Ids((thread, id)): Ids<(ThreadId, MessageId)>,
    Key(key): Key,
    if_match: IfMatch,
    OptionalBody(body): OptionalBody<FinishBody>,
) -> Result<impl IntoResponse, Problem> {
    let FinishBody { text, blocks, content } = body;
    let change = change_of(text, blocks, content)?;
    let key = key.map_or_else(|| derived_key("finish", &[id.as_str()]), Ok)?;
    update(db, UpdateContent::new(thread, id, change, UpdateMode::Final), Some(key), if_match).await
}

/// The body of an abandonment.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct AbandonBody {
    reason: Option<String>,
}

/// Abandons a draft. The committed content stays. A repeated request with the same body is applied once, also without an
/// `Idempotency-Key`.
#[utoipa::path(
    post, path = "/v1/threads/{thread}/drafts/{message}/abandon", operation_id = "abandonDraft", tag = "drafts",
    params(schema::MessagePath, schema::IdempotencyKeyHeader, schema::IfMatchHeader),
    request_body = Option<schema::Abandon>,
    responses(
        (status = 200, description = "The revision after the end", body = schema::ContentUpdated,
            headers(("ETag" = String), ("Idempotency-Replayed" = String))),
        Problems,
    ),
)]
pub(crate) async fn abandon(
    Db(db): Db,
    Ids((thread, id)): Ids<(ThreadId, MessageId)>,
    Key(key): Key,
    if_match: IfMatch,
    OptionalBody(AbandonBody { reason }): OptionalBody<AbandonBody>,
) -> Result<impl IntoResponse, Problem> {
    let key = key.map_or_else(|| derived_key("abandon", &[id.as_str()]), Ok)?;
    let mode = UpdateMode::Abandon { reason };
    update(db, UpdateContent::new(thread, id, ContentChange::none(), mode), Some(key), if_match).await
}
