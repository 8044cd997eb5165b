//! The route of batches.

use axum::response::IntoResponse;
use throughline_core::messages::Batch;

use crate::{
    answer::Answer,
    extract::{JsonBody, Key},
    problem::Problem,
    schema::{self, Problems},
    state::Db,
    write::detached,
};

/// Applies several writes in one transaction, or none of them. The items have the wire format of the library. A problem has the
/// index of the failed item as `batchIndex`.
#[utoipa::path(
    post, path = "/v1/batch", operation_id = "batch", tag = "batch",
    params(schema::IdempotencyKeyHeader),
    request_body = schema::Batch,
    responses(
        (status = 200, description = "The answer to each item", body = schema::Batched,
            headers(("Idempotency-Replayed" = String))),
        Problems,
    ),
)]
pub(crate) async fn batch(
    Db(db): Db,
    Key(key): Key,
    JsonBody(batch): JsonBody<Batch>,
) -> Result<impl IntoResponse, Problem> {
    let mut request = db.batch(batch);
    if let Some(key) = key {
        request = request.key(key);
    }
    let batched = detached(request).await?;
    Ok(Answer::ok(&batched).replayed(batched.deduplicated))
}
