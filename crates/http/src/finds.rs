//! The route of finds by metadata.

use axum::{extract::State, response::IntoResponse};
use serde::Serialize;
use throughline_core::{
    Message,
    messages::{DamagedMessage, FindCursor, FindMessages, FindOrder, FoundMessages, ReadPage, Visibility},
};

use crate::{
    answer::Answer,
    extract::Params,
    problem::Problem,
    schema::{self, Problems},
    state::{Db, RouterState},
};

/// A page of found messages, with the cursor of the next one as text.
#[derive(Debug, Serialize)]
struct FoundPage {
    messages: Vec<Message>,
    damaged: Vec<DamagedMessage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Finds the messages of the tenant, or of one thread, by the value of one metadata field that the host has declared as indexed.
/// The value is JSON: `metadata[orderId]="A-17"`, and another find for `17` or `true`. A page can be shorter than its limit
/// although there are more messages: only an answer without `next` is the last one. A field that is not declared answers 501, and
/// a field whose index is not complete yet 423.
#[utoipa::path(
    get, path = "/v1/messages", operation_id = "findMessages", tag = "messages",
    params(schema::FindMessagesQuery),
    responses((status = 200, description = "A page of found messages", body = schema::FoundPage), Problems),
)]
pub(crate) async fn find(
    State(state): State<RouterState>,
    Db(db): Db,
    mut params: Params,
) -> Result<impl IntoResponse, Problem> {
    let metadata = params.metadata()?;
    if metadata.is_empty() {
        return Err(Problem::invalid("the query has no parameter `metadata[NAME]`"));
    }
    let orders = [("newestFirst", FindOrder::NewestFirst), ("oldestFirst", FindOrder::OldestFirst)];
    let visibilities =
        [("final", Visibility::Final), ("settled", Visibility::Settled), ("all", Visibility::All)];
    let after = params.text("after")?.map(|after| {
        let cursor = after.parse::<FindCursor>();
        cursor.map_err(|_| Problem::invalid("the query parameter `after` is not the `next` of a page"))
    });
    let find = FindMessages {
        thread: params.take("thread")?,
        metadata,
        order: params.one_of("order", &orders)?.unwrap_or_default(),
        visibility: params.one_of("visibility", &visibilities)?.unwrap_or(Visibility::Final),
        after: after.transpose()?,
        limit: params.limit(state.options().page_limit)?,
        max_bytes: params.max_bytes()?.unwrap_or(ReadPage::DEFAULT_BYTES),
    };
    params.end()?;
    let FoundMessages { messages, damaged, next } = db.find(find).await?;
    let next = next.as_ref().map(ToString::to_string);
    Ok(Answer::ok(&FoundPage { messages, damaged, next }))
}
