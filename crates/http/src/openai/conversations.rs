//! The routes of conversations: create, retrieve, update and delete.

use std::collections::BTreeMap;

use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use throughline_core::{
    IdempotencyKey, Metadata, MetadataPatch, NewThread, PersistResult, Persistence, ThreadId,
    threads::{CreateThread, DeleteThread, LabelThread, ThreadResult, ThreadSummary},
};

use super::{
    items::{NewItems, SentItems, add_items},
    schema::{self, ApiErrors},
};
use crate::{
    answer::Answer,
    extract::{Ids, JsonBody, Key, OptionalBody, derived_id, derived_key},
    problem::Problem,
    schema::IdempotencyKeyHeader,
    state::Db,
    threads::clear_metadata,
    write::detached,
};

/// The bounds of the API.
const MAX_PAIRS: usize = 16;
const MAX_NAME_CHARS: usize = 64;
const MAX_VALUE_CHARS: usize = 512;

/// The body of a new conversation.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewConversation {
    items: Option<SentItems>,
    metadata: Option<BTreeMap<String, String>>,
}

/// The body of an update.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConversationUpdate {
    #[serde(deserialize_with = "Option::deserialize")]
    metadata: Option<BTreeMap<String, String>>,
}

/// A thread as a conversation.
#[derive(Debug, Serialize)]
struct Conversation<'a> {
    id: &'a ThreadId,
    object: &'static str,
    created_at: i64,
    metadata: Metadata,
}

/// Returns the answer with a conversation.
pub(super) fn answer_of(summary: &ThreadSummary) -> Answer {
    let mut metadata = summary.metadata.clone();
    for (name, _) in summary.metadata.iter().filter(|(name, _)| name.starts_with(Metadata::RESERVED)) {
        metadata.remove(name);
    }
    let created_at = summary.created_at.as_micros().div_euclid(1_000_000);
    Answer::ok(&Conversation { id: &summary.thread, object: "conversation", created_at, metadata })
}

/// Reads the summary of a conversation.
pub(super) async fn summary(db: &Persistence, thread: ThreadId) -> Result<ThreadSummary, Problem> {
    db.thread(thread).summary().await?.ok_or_else(|| Problem::not_found("there is no such conversation"))
}

fn check(metadata: &BTreeMap<String, String>) -> Result<(), Problem> {
    if metadata.len() > MAX_PAIRS {
        return Err(Problem::invalid(format!("`metadata` has more than {MAX_PAIRS} pairs")));
    }
    for (name, value) in metadata {
        if name.chars().count() > MAX_NAME_CHARS {
            return Err(Problem::invalid(format!(
                "`metadata`: a name has more than {MAX_NAME_CHARS} characters"
            )));
        }
        if value.chars().count() > MAX_VALUE_CHARS {
            return Err(Problem::invalid(format!(
                "`metadata`: a value has more than {MAX_VALUE_CHARS} characters"
            )));
        }
    }
    Ok(())
}

fn new_thread_id(db: &Persistence, key: Option<&IdempotencyKey>) -> Result<ThreadId, Problem> {
    let id = match key {
        Some(key) => derived_id("openai.conversation", db.tenant(), "", key),
        None => ThreadId::mint().as_str().replace('-', ""),
    };
    format!("conv_{id}").parse().map_err(|error| Problem::invalid(format!("the generated id: {error}")))
}

/// Creates a conversation, with up to 20 items. With an `Idempotency-Key`, a repeated request creates one.
#[utoipa::path(
    post, path = "/v1/conversations", operation_id = "createConversation", tag = "openai",
    params(IdempotencyKeyHeader),
    request_body = schema::NewConversation,
    responses(
        (status = 200, description = "The conversation", body = schema::Conversation,
            headers(("Idempotency-Replayed" = String))),
        ApiErrors,
    ),
)]
pub(super) async fn create(
    Db(db): Db,
    Key(key): Key,
    OptionalBody(body): OptionalBody<NewConversation>,
) -> Result<impl IntoResponse, Problem> {
    let mut metadata = Metadata::new();
    if let Some(given) = body.metadata {
        check(&given)?;
        for (name, value) in given {
            metadata.set(name, &value).map_err(|error| Problem::invalid(error.to_string()))?;
        }
    }
    let items = NewItems::read(&body.items.unwrap_or_default())?;
    let thread = new_thread_id(&db, key.as_ref())?;
    let create = CreateThread::new(NewThread::new().with_id(thread.clone()).with_metadata(metadata));
    let (outputs, is_replayed) = add_items(&db, &thread, key, Some(create), items).await?;
    match outputs.into_iter().next() {
        Some(PersistResult::Thread(ThreadResult::Create(created))) => {
            Ok(answer_of(&created.summary).replayed(is_replayed))
        }
        _ => Err(Problem::not_found("the conversation was deleted after its creation")),
    }
}

/// Retrieves a conversation.
#[utoipa::path(
    get, path = "/v1/conversations/{conversation_id}", operation_id = "retrieveConversation", tag = "openai",
    params(schema::ConversationPath),
    responses((status = 200, description = "The conversation", body = schema::Conversation), ApiErrors),
)]
pub(super) async fn retrieve(Db(db): Db, Ids(thread): Ids<ThreadId>) -> Result<impl IntoResponse, Problem> {
    Ok(answer_of(&summary(&db, thread).await?))
}

/// Sets pairs of the metadata. The other pairs stay. `null` clears the pairs that the conversation has when the request
/// arrives.
#[utoipa::path(
    post, path = "/v1/conversations/{conversation_id}", operation_id = "updateConversation", tag = "openai",
    params(schema::ConversationPath, IdempotencyKeyHeader),
    request_body = schema::ConversationUpdate,
    responses(
        (status = 200, description = "The conversation after the update", body = schema::Conversation,
            headers(("Idempotency-Replayed" = String))),
        ApiErrors,
    ),
)]
pub(super) async fn update(
    Db(db): Db,
    Ids(thread): Ids<ThreadId>,
    Key(mut key): Key,
    JsonBody(body): JsonBody<ConversationUpdate>,
) -> Result<impl IntoResponse, Problem> {
    let current = summary(&db, thread.clone()).await?;
    let patch = match body.metadata {
        Some(metadata) => {
            check(&metadata)?;
            let pairs = metadata.into_iter();
            let patch = pairs
                .into_iter()
                .try_fold(MetadataPatch::new(), |patch, (name, value)| patch.set(name, &value));
            patch.map_err(|error| Problem::invalid(error.to_string()))?
        }
        None => {
            let patch = clear_metadata(Some(&current.metadata));
            if let Some(given) = key {
                // A repeated request finds other names, and so it is another write. Clearing twice has the effect of once.
                let names = serde_json::to_string(&patch).unwrap_or_default();
                key = Some(derived_key("openai.update", &[given.as_str(), &names])?);
            }
            patch
        }
    };
    if patch.is_empty() {
        return Ok(answer_of(&current));
    }
    let mut request = db.on_thread(LabelThread::new(thread).with_metadata(patch));
    if let Some(key) = key {
        request = request.key(key);
    }
    let changed = detached(request).await?;
    Ok(answer_of(&changed.summary).replayed(changed.deduplicated))
}

/// The answer to a deletion.
#[derive(Debug, Serialize)]
struct ConversationDeleted {
    id: ThreadId,
    object: &'static str,
    deleted: bool,
}

/// Deletes a conversation with its items.
#[utoipa::path(
    delete, path = "/v1/conversations/{conversation_id}", operation_id = "deleteConversation", tag = "openai",
    params(schema::ConversationPath, IdempotencyKeyHeader),
    responses(
        (status = 200, description = "The conversation is deleted", body = schema::ConversationDeleted,
            headers(("Idempotency-Replayed" = String))),
        ApiErrors,
    ),
)]
pub(super) async fn delete(
    Db(db): Db,
    Ids(thread): Ids<ThreadId>,
    Key(key): Key,
) -> Result<impl IntoResponse, Problem> {
    let mut request = db.on_thread(DeleteThread { thread: thread.clone() });
    if let Some(key) = key {
        request = request.key(key);
    }
    let deleted = detached(request).await?;
    let answer = ConversationDeleted { id: thread, object: "conversation.deleted", deleted: true };
    Ok(Answer::ok(&answer).replayed(deleted.deduplicated))
}
