//! The route of a tail read.

use throughline_core::{
    MessageId, ThreadId,
    messages::{ContentCursor, ReadContent, ReadPage},
};

use crate::{
    answer::Answer,
    extract::{Ids, Params},
    problem::Problem,
    schema::{self, Problems},
    state::Db,
};

/// Reads the content of a message that was appended after a cursor, in any state of the message. Without a cursor the answer begins
/// at the start. If `replaced` is true, discard the content that you have: the answer begins at the start of the new content.
#[utoipa::path(
    get, path = "/v1/threads/{thread}/messages/{message}/content", operation_id = "readContent", tag = "messages",
    params(schema::MessagePath, schema::ContentQuery),
    responses((status = 200, description = "The content after the cursor", body = schema::ContentTail), Problems),
)]
pub(crate) async fn read(
    Db(db): Db,
    Ids((thread, id)): Ids<(ThreadId, MessageId)>,
    mut params: Params,
) -> Result<Answer, Problem> {
    let after = params.take::<ContentCursor>("after")?;
    let limit = params.counter("limit")?;
    params.end()?;
    let mut read = ReadContent::new(thread, id, after);
    if let Some(limit) = limit {
        let in_range = u32::try_from(limit).ok().filter(|limit| (1..=ReadPage::MAX_BYTES).contains(limit));
        read.limit = in_range.ok_or_else(|| {
            let max = ReadPage::MAX_BYTES;
            Problem::invalid(format!("the query parameter `limit` is not between 1 and {max} bytes"))
        })?;
    }
    match db.read(read).await? {
        Some(tail) => Ok(Answer::ok(&tail)),
        None => Err(Problem::not_found("there is no such message")),
    }
}
