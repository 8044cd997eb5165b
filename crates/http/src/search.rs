//! The route of full-text search.

use axum::{extract::State, response::IntoResponse};
use throughline_core::search::SearchMessages;

use crate::{
    answer::Answer,
    extract::Params,
    problem::Problem,
    schema::{self, Problems},
    state::{Db, RouterState},
};

/// Searches the messages of the tenant, or of one thread. The best matches come first. A store without a full-text index answers
/// 501.
#[utoipa::path(
    get, path = "/v1/search", operation_id = "searchMessages", tag = "search",
    params(schema::SearchQuery),
    responses((status = 200, description = "The matching messages", body = schema::SearchHits), Problems),
)]
pub(crate) async fn search(
    State(state): State<RouterState>,
    Db(db): Db,
    mut params: Params,
) -> Result<impl IntoResponse, Problem> {
    let query = params.text("q")?.ok_or_else(|| Problem::invalid("the query has no parameter `q`"))?;
    let mut search = SearchMessages::new(query, params.limit(state.options().page_limit)?);
    search.thread = params.take("thread")?;
    params.end()?;
    Ok(Answer::ok(&db.search(search).await?))
}
