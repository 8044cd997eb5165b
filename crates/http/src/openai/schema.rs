//! The schemas of the Conversations API. An item has the members that its client sent, so that its schema is open.

#![expect(dead_code, reason = "only schemas")]

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::{
    IntoParams, IntoResponses, ToSchema,
    openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder},
};

use crate::problem::PROBLEM_STATUSES;

/// Every refusal, in the form of the API.
pub(super) struct ApiErrors;

impl IntoResponses for ApiErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let response = |description: &str| {
            let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("OpenAiError"))).build();
            RefOr::T(
                ResponseBuilder::new().description(description).content("application/json", content).build(),
            )
        };
        let statuses = PROBLEM_STATUSES.iter().filter(|(status, _)| *status != 410);
        statuses.map(|(status, description)| (status.to_string(), response(description))).collect()
    }
}

/// The path of a conversation.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct ConversationPath {
    /// The id of the conversation: that of its thread, percent-encoded.
    conversation_id: String,
}

/// The path of an item.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct ItemPath {
    /// The id of the conversation: that of its thread, percent-encoded.
    conversation_id: String,
    /// The id of the item: that of its message, percent-encoded.
    item_id: String,
}

/// The additional members of a request.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct IncludeQuery {
    /// Accepted, and without effect: every answer has the whole items.
    #[param(rename = "include[]", style = Form, explode)]
    include: Option<Vec<String>>,
}

/// The query of a list of items.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListItemsQuery {
    /// The id of the last item of the previous page.
    after: Option<String>,
    /// The most items of the page. The default is 20.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `desc` (the default, the latest first) or `asc`.
    order: Option<String>,
    /// Accepted, and without effect: every answer has the whole items.
    #[param(rename = "include[]", style = Form, explode)]
    include: Option<Vec<String>>,
}

/// A conversation.
#[derive(ToSchema)]
pub(super) struct Conversation {
    id: String,
    /// Always `conversation`.
    object: String,
    /// Seconds since 1970.
    created_at: i64,
    metadata: BTreeMap<String, Value>,
}

/// A new conversation.
#[derive(ToSchema)]
pub(super) struct NewConversation {
    /// At most 20 items.
    #[schema(max_items = 20)]
    items: Option<Vec<NewItem>>,
    /// At most 16 pairs.
    metadata: Option<BTreeMap<String, String>>,
}

/// An update of a conversation.
#[derive(ToSchema)]
pub(super) struct ConversationUpdate {
    /// The pairs to set; `null` clears all.
    #[schema(required)]
    metadata: Option<BTreeMap<String, String>>,
}

/// A deleted conversation.
#[derive(ToSchema)]
pub(super) struct ConversationDeleted {
    id: String,
    /// Always `conversation.deleted`.
    object: String,
    deleted: bool,
}

/// New items.
#[derive(ToSchema)]
pub(super) struct NewItems {
    /// At most 20 items.
    #[schema(max_items = 20)]
    items: Vec<NewItem>,
}

/// A new item: an object with a `type`. Every member is kept.
#[derive(ToSchema)]
pub(super) struct NewItem(BTreeMap<String, Value>);

/// An item: an object with an `id` and a `type`, and the members that its client sent.
#[derive(ToSchema)]
pub(super) struct Item(BTreeMap<String, Value>);

/// A page of items.
#[derive(ToSchema)]
pub(super) struct ItemList {
    /// Always `list`.
    object: String,
    data: Vec<Item>,
    /// The id of the first item; empty without items.
    first_id: String,
    /// The id of the last item; empty without items. It is the `after` of the next page.
    last_id: String,
    has_more: bool,
}
