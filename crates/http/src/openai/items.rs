//! The routes of items: list, create, retrieve and delete.

use std::fmt;

use axum::{
    http::{HeaderMap, HeaderName},
    response::IntoResponse,
};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{IgnoredAny, SeqAccess, Visitor},
};
use serde_json::value::RawValue;
use throughline_core::{
    IdempotencyKey, MessageId, NewMessage, PersistArgs, PersistResult, Persistence, ThreadId,
    messages::{Add, Batch, Delete, PageFrom, ReadPage, Visibility},
    threads::CreateThread,
};

use super::{
    conversations::{answer_of, summary},
    item::{NewItem, item_of},
    members::Members,
    schema::{self, ApiErrors},
};
use crate::{
    answer::Answer,
    extract::{Ids, JsonBody, Key, Params, derived_id, derived_key},
    problem::Problem,
    schema::IdempotencyKeyHeader,
    state::Db,
    write::detached,
};

/// The bounds of the API.
const MAX_NEW_ITEMS: usize = 20;
const MAX_LIMIT: u32 = 100;
const DEFAULT_LIMIT: u32 = 20;

/// The number of items of a page that the store cannot read.
const DAMAGED: HeaderName = HeaderName::from_static("throughline-damaged-items");

/// The body of new items.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewItemsBody {
    items: SentItems,
}

/// The items of a body. Items beyond the limit are counted but not kept, so that a body of many small items takes no more memory
/// than its bytes.
#[derive(Debug, Default)]
pub(super) struct SentItems(Vec<Box<RawValue>>);

impl<'de> Deserialize<'de> for SentItems {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items;

        impl<'de> Visitor<'de> for Items {
            type Value = SentItems;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of items")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<SentItems, A::Error> {
                let mut kept = Vec::new();
                while kept.len() <= MAX_NEW_ITEMS {
                    match items.next_element()? {
                        Some(item) => kept.push(item),
                        None => return Ok(SentItems(kept)),
                    }
                }
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok(SentItems(kept))
            }
        }

        deserializer.deserialize_seq(Items)
    }
}

/// A page of items.
#[derive(Debug, Serialize)]
struct ItemList {
    object: &'static str,
    data: Vec<Members>,
    first_id: String,
    last_id: String,
    has_more: bool,
}

impl ItemList {
    fn new(data: Vec<Members>, has_more: bool) -> Self {
        let id = |item: Option<&Members>| item.and_then(|item| item.text("id")).unwrap_or_default();
        let (first_id, last_id) = (id(data.first()), id(data.last()));
        Self { object: "list", data, first_id, last_id, has_more }
    }
}

/// The items of a request.
#[derive(Debug)]
pub(super) struct NewItems(Vec<NewItem>);

impl NewItems {
    pub(super) fn read(SentItems(items): &SentItems) -> Result<Self, Problem> {
        if items.len() > MAX_NEW_ITEMS {
            return Err(Problem::invalid(format!("`items` has more than {MAX_NEW_ITEMS} items")));
        }
        let items = items.iter().enumerate().map(|(at, item)| NewItem::read(item, at));
        items.collect::<Result<_, _>>().map(Self)
    }
}

/// Returns the id of an item without one. It is the same for each repetition of a request with a key.
fn new_id(
    db: &Persistence,
    thread: &ThreadId,
    key: Option<&IdempotencyKey>,
    item: &NewItem,
    at: usize,
) -> Result<MessageId, Problem> {
    let id = match key {
        Some(key) => derived_id(&format!("openai.item.{at}"), db.tenant(), thread.as_str(), key),
        None => MessageId::mint().as_str().replace('-', ""),
    };
    let id = format!("{}_{id}", item.prefix);
    id.parse().map_err(|error| Problem::invalid(format!("the generated id: {error}")))
}

/// Adds items in one transaction, after the creation of their thread if there is one.
///
/// A deleted item keeps its id for ever. A client that adds such an item again gets generated ids for the items of its request.
pub(super) async fn add_items(
    db: &Persistence,
    thread: &ThreadId,
    key: Option<IdempotencyKey>,
    create: Option<CreateThread>,
    mut items: NewItems,
) -> Result<(Vec<PersistResult>, bool), Problem> {
    match add_once(db, thread, key.clone(), create.clone(), &items).await {
        Err(problem) if problem.code() == "gone" && items.0.iter().any(|item| item.id.is_some()) => {}
        result => return result,
    }
    // Other ids are another write, with a key of its own. An id stays deleted, so that each repetition comes here too.
    items.0.iter_mut().for_each(|item| item.id = None);
    let key = key.map(|key| derived_key("openai.items", &[key.as_str()])).transpose()?;
    add_once(db, thread, key, create, &items).await
}

async fn add_once(
    db: &Persistence,
    thread: &ThreadId,
    key: Option<IdempotencyKey>,
    create: Option<CreateThread>,
    items: &NewItems,
) -> Result<(Vec<PersistResult>, bool), Problem> {
    let mut writes: Vec<PersistArgs> = create.into_iter().map(PersistArgs::from).collect();
    for (at, item) in items.0.iter().enumerate() {
        let id = match &item.id {
            Some(id) => id.clone(),
            None => new_id(db, thread, key.as_ref(), item, at)?,
        };
        let message = NewMessage::new(item.role, item.content.clone());
        let message = message.with_id(id).with_metadata(item.metadata.clone());
        writes.push(Add::new(thread.clone(), message).into());
    }
    let mut request = db.batch(Batch::of(writes));
    if let Some(key) = key {
        request = request.key(key);
    }
    let batched = detached(request).await?;
    Ok((batched.outputs, batched.deduplicated))
}

/// Adds up to 20 items in one transaction. With an `Idempotency-Key`, a repeated request adds them once.
#[utoipa::path(
    post, path = "/v1/conversations/{conversation_id}/items", operation_id = "createItems", tag = "openai",
    params(schema::ConversationPath, schema::IncludeQuery, IdempotencyKeyHeader),
    request_body = schema::NewItems,
    responses(
        (status = 200, description = "The items", body = schema::ItemList,
            headers(("Idempotency-Replayed" = String))),
        ApiErrors,
    ),
)]
pub(super) async fn create(
    Db(db): Db,
    Ids(thread): Ids<ThreadId>,
    Key(key): Key,
    mut params: Params,
    JsonBody(body): JsonBody<NewItemsBody>,
) -> Result<impl IntoResponse, Problem> {
    discard_include(&mut params);
    params.end()?;
    let items = NewItems::read(&body.items)?;
    summary(&db, thread.clone()).await?;
    if items.0.is_empty() {
        return Ok(Answer::ok(&ItemList::new(Vec::new(), false)));
    }
    let (outputs, is_replayed) = add_items(&db, &thread, key, None, items).await?;
    let added = outputs.iter().filter_map(|output| match output {
        PersistResult::Add(added) => Some(item_of(&added.message)),
        _ => None,
    });
    Ok(Answer::ok(&ItemList::new(added.collect(), false)).replayed(is_replayed))
}

/// Drops the parameter `include`. Every answer has the whole items, so that there is nothing to include.
fn discard_include(params: &mut Params) {
    params.discard("include");
    params.discard("include[]");
}

/// Lists the items of a conversation, the latest first. Messages that are being written, and abandoned ones, are not listed.
#[utoipa::path(
    get, path = "/v1/conversations/{conversation_id}/items", operation_id = "listItems", tag = "openai",
    params(schema::ConversationPath, schema::ListItemsQuery),
    responses(
        (status = 200, description = "A page of items", body = schema::ItemList,
            headers(("Throughline-Damaged-Items" = String))),
        ApiErrors,
    ),
)]
pub(super) async fn list(
    Db(db): Db,
    Ids(thread): Ids<ThreadId>,
    mut params: Params,
) -> Result<impl IntoResponse, Problem> {
    discard_include(&mut params);
    let limit = params.limit_or(DEFAULT_LIMIT, MAX_LIMIT)?;
    let is_ascending = params.one_of("order", &[("asc", true), ("desc", false)])?.unwrap_or(false);
    let after: Option<MessageId> = params.take("after")?;
    params.end()?;
    let mut from = match after {
        Some(id) => {
            let seq = item(&db, thread.clone(), id).await?.seq;
            if is_ascending { PageFrom::After(seq) } else { PageFrom::Before(seq) }
        }
        None if is_ascending => PageFrom::Start,
        None => PageFrom::End,
    };
    let mut damaged = 0;
    let mut page = loop {
        let page = db.read(ReadPage::new(thread.clone(), from, limit).showing(Visibility::Final)).await?;
        damaged += page.damaged.len();
        match page.next(from) {
            // A page of damaged messages only.
            Some(next) if page.messages.is_empty() => from = next,
            _ => break page,
        }
    };
    if page.messages.is_empty() {
        summary(&db, thread).await?;
    }
    if !is_ascending {
        page.messages.reverse();
    }
    let items = page.messages.iter().map(item_of).collect();
    let mut headers = HeaderMap::new();
    if damaged > 0 {
        headers.insert(DAMAGED, damaged.into());
    }
    Ok((headers, Answer::ok(&ItemList::new(items, page.has_more))))
}

async fn item(
    db: &Persistence,
    thread: ThreadId,
    id: MessageId,
) -> Result<throughline_core::Message, Problem> {
    db.thread(thread).get(id).await?.ok_or_else(|| Problem::not_found("there is no such item"))
}

/// Retrieves an item. A message that is being written has the status `in_progress`, and an abandoned one `incomplete`.
#[utoipa::path(
    get, path = "/v1/conversations/{conversation_id}/items/{item_id}", operation_id = "retrieveItem", tag = "openai",
    params(schema::ItemPath, schema::IncludeQuery),
    responses((status = 200, description = "The item", body = schema::Item), ApiErrors),
)]
pub(super) async fn retrieve(
    Db(db): Db,
    Ids((thread, id)): Ids<(ThreadId, MessageId)>,
    mut params: Params,
) -> Result<impl IntoResponse, Problem> {
    discard_include(&mut params);
    params.end()?;
    Ok(Answer::ok(&item_of(&item(&db, thread, id).await?)))
}

/// Deletes an item, and answers its conversation.
#[utoipa::path(
    delete, path = "/v1/conversations/{conversation_id}/items/{item_id}", operation_id = "deleteItem", tag = "openai",
    params(schema::ItemPath, IdempotencyKeyHeader),
    responses(
        (status = 200, description = "The conversation", body = schema::Conversation,
            headers(("Idempotency-Replayed" = String))),
        ApiErrors,
    ),
)]
pub(super) async fn delete(
    Db(db): Db,
    Ids((thread, id)): Ids<(ThreadId, MessageId)>,
    Key(key): Key,
) -> Result<impl IntoResponse, Problem> {
    // The conversation is read first: a failure of this read must not hide that the deletion was applied.
    let conversation = summary(&db, thread.clone()).await?;
    let mut request = db.run(Delete::new(thread, id));
    if let Some(key) = key {
        request = request.key(key);
    }
    let deleted = detached(request).await?;
    Ok(answer_of(&conversation).replayed(deleted.deduplicated))
}
