//! The routes of threads: create, list, read, patch and delete.

use axum::{extract::State, response::IntoResponse};
use serde::{Deserialize, Serialize};
use throughline_core::{
    Labels, Metadata, MetadataPatch, NewThread, OwnerId, PersistArgs, PersistResult, Persistence, Position,
    ThreadId, Timestamp, Title,
    messages::{Batch, Batched},
    threads::{
        ArchiveThread, CreateThread, DeleteThread, LabelPatch, LabelThread, ListThreads, RenameThread,
        ThreadArgs, ThreadCursor, ThreadList, ThreadOrder, ThreadResult, ThreadSummary,
    },
};

use crate::{
    answer::Answer,
    extract::{Ids, JsonBody, Key, NoIfMatch, Params, derived_id, derived_key, present},
    problem::Problem,
    schema::{self, Problems},
    state::{Db, RouterState},
    write::detached,
};

/// The body of a new thread.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NewThreadBody {
    id: Option<ThreadId>,
    title: Option<Title>,
    owner: Option<OwnerId>,
    #[serde(default)]
    labels: Labels,
    #[serde(default)]
    metadata: Metadata,
    created_at: Option<Timestamp>,
    #[serde(default)]
    hidden: bool,
    #[serde(default)]
    reuses_ids: bool,
}

/// Creates a thread without messages. With an `Idempotency-Key`, a repeated request creates no second thread, also without
/// an id in the body.
#[utoipa::path(
    post, path = "/v1/threads", operation_id = "createThread", tag = "threads",
    params(schema::IdempotencyKeyHeader),
    request_body = schema::NewThread,
    responses(
        (status = 201, description = "The new thread", body = schema::ThreadSummary, headers(("Location" = String))),
        (status = 200, description = "The thread of an earlier request with the same key", body = schema::ThreadSummary,
            headers(("Idempotency-Replayed" = String), ("Location" = String))),
        Problems,
    ),
)]
pub(crate) async fn create(
    Db(db): Db,
    Key(key): Key,
    JsonBody(body): JsonBody<NewThreadBody>,
) -> Result<impl IntoResponse, Problem> {
    let NewThreadBody { id, title, owner, labels, metadata, created_at, hidden, reuses_ids } = body;
    let mut thread = NewThread::new().with_labels(labels).with_metadata(metadata);
    let id = match (id, &key) {
        (Some(id), _) => Some(id),
        (None, Some(key)) => Some(parsed(&derived_id("thread", db.tenant(), "", key))?),
        (None, None) => None,
    };
    if let Some(id) = id {
        thread = thread.with_id(id);
    }
    if let Some(title) = title {
        thread = thread.with_title(title);
    }
    if let Some(owner) = owner {
        thread = thread.with_owner(owner);
    }
    if let Some(created_at) = created_at {
        thread = thread.created_at(created_at);
    }
    if hidden {
        thread = thread.hidden();
    }
    if reuses_ids {
        thread = thread.reusing_ids();
    }
    let mut request = db.on_thread(CreateThread::new(thread));
    if let Some(key) = key {
        request = request.key(key);
    }
    let changed = detached(request).await?;
    let id = changed.summary.thread.clone();
    Ok(Answer::ok(&changed.summary).replayed(changed.deduplicated).created("threads", id.as_str()))
}

fn parsed(id: &str) -> Result<ThreadId, Problem> {
    id.parse().map_err(|error| Problem::invalid(format!("the derived id: {error}")))
}

/// A page of threads, with the cursor of the next one as text.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ThreadPage {
    threads: Vec<ThreadSummary>,
    damaged: Vec<ThreadId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    position: Position,
}

/// Lists threads by their last activity, the latest first, or in another `order`. A thread is listed from its first settled
/// message on, or from its creation on with `unlisted=true`. `after` belongs to the order of the page that it comes from.
#[utoipa::path(
    get, path = "/v1/threads", operation_id = "listThreads", tag = "threads",
    params(schema::ListThreadsQuery),
    responses((status = 200, description = "A page of threads", body = schema::ThreadPage), Problems),
)]
pub(crate) async fn list(
    State(state): State<RouterState>,
    Db(db): Db,
    mut params: Params,
) -> Result<impl IntoResponse, Problem> {
    let mut list = ListThreads::new(params.limit(state.options().page_limit)?);
    list.owner = params.take("owner")?;
    list.labels = params.labels()?;
    let archived = [("true", Some(true)), ("false", Some(false)), ("any", None)];
    list.archived = params.one_of("archived", &archived)?.unwrap_or(Some(false));
    list.unlisted = params.one_of("unlisted", &[("true", true), ("false", false)])?.unwrap_or(false);
    let orders = ThreadOrder::ALL.map(|order| (order.as_str(), order));
    list.order = params.one_of("order", &orders)?.unwrap_or_default();
    if let Some(after) = params.text("after")? {
        let cursor: ThreadCursor = after
            .parse()
            .map_err(|_| Problem::invalid("the query parameter `after` is not the `next` of a page"))?;
        list.after = Some(cursor);
    }
    params.end()?;
    let ThreadList { threads, damaged, next, position } = db.threads(list).await?;
    let next = next.as_ref().map(ToString::to_string);
    Ok(Answer::ok(&ThreadPage { threads, damaged, next, position }))
}

/// Reads the summary of a thread.
#[utoipa::path(
    get, path = "/v1/threads/{thread}", operation_id = "getThread", tag = "threads",
    params(schema::ThreadPath),
    responses((status = 200, description = "The thread", body = schema::ThreadSummary), Problems),
)]
pub(crate) async fn get(Db(db): Db, Ids(thread): Ids<ThreadId>) -> Result<impl IntoResponse, Problem> {
    Ok(Answer::ok(&summary(&db, thread).await?))
}

async fn summary(db: &Persistence, thread: ThreadId) -> Result<ThreadSummary, Problem> {
    db.thread(thread).summary().await?.ok_or_else(|| Problem::not_found("there is no such thread"))
}

/// A merge patch of a thread: an absent member keeps its value, `null` clears it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ThreadPatch {
    #[serde(default, deserialize_with = "present")]
    title: Option<Option<Title>>,
    #[serde(default, deserialize_with = "present")]
    owner: Option<Option<OwnerId>>,
    #[serde(default, deserialize_with = "present")]
    labels: Option<Option<LabelPatch>>,
    #[serde(default, deserialize_with = "present")]
    metadata: Option<Option<MetadataPatch>>,
    #[serde(default, deserialize_with = "present")]
    archived: Option<Option<bool>>,
}

impl ThreadPatch {
    /// Whether the patch clears a whole map, whose names only the store knows.
    const fn clears_a_map(&self) -> bool {
        matches!(self.labels, Some(None)) || matches!(self.metadata, Some(None))
    }

    /// Returns the writes of the patch. `current` is needed if the patch [clears a map](Self::clears_a_map).
    fn into_writes(self, thread: &ThreadId, current: Option<&ThreadSummary>) -> Vec<ThreadArgs> {
        let Self { title, owner, labels, metadata, archived } = self;
        let mut writes = Vec::new();
        if let Some(title) = title {
            writes.push(RenameThread::new(thread.clone(), title.unwrap_or_default()).into());
        }
        if owner.is_some() || labels.is_some() || metadata.is_some() {
            let mut label = LabelThread::new(thread.clone());
            label.owner = owner;
            if let Some(labels) = labels {
                label = label.with_labels(labels.unwrap_or_else(|| clear_labels(current)));
            }
            if let Some(metadata) = metadata {
                let clear = || clear_metadata(current.map(|current| &current.metadata));
                label = label.with_metadata(metadata.unwrap_or_else(clear));
            }
            writes.push(label.into());
        }
        if let Some(archived) = archived {
            writes.push(ArchiveThread { thread: thread.clone(), archived: archived.unwrap_or(false) }.into());
        }
        writes
    }
}

/// Returns a patch that clears every label of the thread.
fn clear_labels(current: Option<&ThreadSummary>) -> LabelPatch {
    let mut names = current.into_iter().flat_map(|current| current.labels.iter()).map(|(name, _)| name);
    names.try_fold(LabelPatch::new(), |patch, name| patch.clear(name.as_str())).unwrap_or_default()
}

/// Returns a patch that clears every name of this metadata, except the names of the framework.
pub(crate) fn clear_metadata(current: Option<&Metadata>) -> MetadataPatch {
    let names = current.into_iter().flat_map(Metadata::iter).map(|(name, _)| name);
    names
        .filter(|name| !name.starts_with(Metadata::RESERVED))
        .fold(MetadataPatch::new(), MetadataPatch::clear)
}

/// Changes the title, owner, labels, metadata or archive flag, in one transaction. The body is a JSON merge patch: an absent
/// member keeps its value, `null` clears it. A `null` for all labels or all metadata clears the names that the thread has
/// when the request arrives.
#[utoipa::path(
    patch, path = "/v1/threads/{thread}", operation_id = "patchThread", tag = "threads",
    params(schema::ThreadPath, schema::IdempotencyKeyHeader),
    request_body(content = schema::ThreadPatch, content_type = "application/merge-patch+json"),
    responses(
        (status = 200, description = "The thread after the patch", body = schema::ThreadSummary,
            headers(("Idempotency-Replayed" = String))),
        Problems,
    ),
)]
pub(crate) async fn patch(
    Db(db): Db,
    Ids(thread): Ids<ThreadId>,
    Key(mut key): Key,
    _: NoIfMatch,
    JsonBody(patch): JsonBody<ThreadPatch>,
) -> Result<impl IntoResponse, Problem> {
    let mut current = None;
    if patch.clears_a_map() {
        let summary = summary(&db, thread.clone()).await?;
        if let Some(given) = key {
            // A repeated request finds other names, and so it is another write. Clearing twice has the effect of once.
            let names = serde_json::to_string(&(&summary.labels, clear_metadata(Some(&summary.metadata))));
            key = Some(derived_key("patch", &[given.as_str(), &names.unwrap_or_default()])?);
        }
        current = Some(summary);
    }
    let writes = patch.into_writes(&thread, current.as_ref());
    if writes.is_empty() {
        return Ok(Answer::ok(&summary(&db, thread).await?));
    }
    let batch = Batch::of(writes.into_iter().map(PersistArgs::from).collect());
    let mut request = db.batch(batch);
    if let Some(key) = key {
        request = request.key(key);
    }
    let Batched { mut outputs, deduplicated } = detached(request).await?;
    match outputs.pop() {
        Some(PersistResult::Thread(
            ThreadResult::Rename(changed) | ThreadResult::Label(changed) | ThreadResult::Archive(changed),
        )) => Ok(Answer::ok(&changed.summary).replayed(deduplicated)),
        _ => Err(Problem::not_found("the thread was deleted after the patch")),
    }
}

/// Deletes a thread with everything in it. A tombstone keeps its id. A second deletion succeeds.
#[utoipa::path(
    delete, path = "/v1/threads/{thread}", operation_id = "deleteThread", tag = "threads",
    params(schema::ThreadPath, schema::IdempotencyKeyHeader),
    responses(
        (status = 200, description = "The thread is deleted", body = schema::ThreadDeleted,
            headers(("Idempotency-Replayed" = String))),
        Problems,
    ),
)]
pub(crate) async fn delete(
    Db(db): Db,
    Ids(thread): Ids<ThreadId>,
    Key(key): Key,
    _: NoIfMatch,
) -> Result<impl IntoResponse, Problem> {
    let mut request = db.on_thread(DeleteThread { thread });
    if let Some(key) = key {
        request = request.key(key);
    }
    let deleted = detached(request).await?;
    Ok(Answer::ok(&deleted).replayed(deleted.deduplicated))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_names_only_what_its_body_has() {
        let thread: ThreadId = "t".parse().unwrap();
        let writes = |json: &str| {
            let patch: ThreadPatch = serde_json::from_str(json).unwrap();
            serde_json::to_string(&patch.into_writes(&thread, None)).unwrap()
        };
        assert_eq!(writes("{}"), "[]");
        assert_eq!(writes(r#"{"title":null}"#), r#"[{"rename":{"thread":"t","title":"Untitled"}}]"#);
        assert_eq!(writes(r#"{"archived":null}"#), r#"[{"archive":{"thread":"t","archived":false}}]"#);
        assert_eq!(
            writes(r#"{"owner":null,"labels":{"a":null,"b":"c"}}"#),
            r#"[{"label":{"thread":"t","labels":{"a":null,"b":"c"},"owner":null}}]"#
        );
    }
}
