//! Tail reads: the content of a message after a cursor.

use sqlx::Row as _;
use throughline_core::{
    backend::ContentFragment,
    messages::{ContentTail, DamagedMessage, GetMessage, ReadContent},
};
use throughline_engine::{
    read::{ChunksBackward, TailStart},
    rows::{ChunkKind, MessageRow},
};

use super::{Answer, Scope, message};
use crate::rows::number;

/// The last chunks of a message below a number, the last one first.
const CHUNKS: &str = "SELECT p.n, p.kind, p.delta FROM throughline.chunks p \
    WHERE p.tenant = $1 AND p.thread = $2 AND p.id = $3 AND p.n >= $4 AND p.n <= $5 ORDER BY p.n DESC LIMIT $6";

/// The chunks of one statement, if the cursor does not say how many there are.
const MANY: u64 = 4096;

/// The most chunks of the first statement after a cursor. The cursor of an answer with a limit has the revision of the answer
/// before, so that it expects more chunks than there are.
const FIRST: u64 = 256;

impl Scope<'_> {
    pub(super) async fn tail(&mut self, read: &ReadContent) -> Answer<Option<ContentTail>> {
        let get = GetMessage { thread: read.thread.clone(), id: read.id.clone() };
        let Some(row) = message::find(self.db, self.tenant, &get).await? else { return Ok(None) };
        let stored = message::Stored::read(&row)?;
        let seq = stored.seq;
        let (row, content) = stored.into_row().map_err(|damaged| damaged.to_error())?;
        let state = row.content_state();
        let start = TailStart::of(read, &state);
        let fragment = if row.state.is_open() && row.chunks > 0 {
            let damaged =
                || DamagedMessage { thread: read.thread.clone(), seq, id: Some(read.id.clone()) }.to_error();
            self.fragment(read, &row, start).await?.ok_or_else(damaged)?
        } else {
            ContentFragment::whole(&content)
        };
        Ok(Some(start.answer(read, &state, &fragment)?))
    }

    /// Reads the chunks of an open message from the last one on, back to the start of the read. `None` if one of them is damaged
    /// or missing.
    async fn fragment(
        &mut self,
        read: &ReadContent,
        row: &MessageRow,
        start: TailStart,
    ) -> Answer<Option<ContentFragment>> {
        let mut chunks = ChunksBackward::new(start, &row.content_state());
        let mut limit =
            ChunksBackward::expected(read, start, row.revision).map_or(MANY, |most| most.min(FIRST));
        let mut last = row.chunks;
        while !chunks.is_complete() && last >= row.first_chunk {
            let rows = sqlx::query(CHUNKS)
                .bind(self.tenant.as_str())
                .bind(read.thread.as_str())
                .bind(read.id.as_str())
                .bind(number(row.first_chunk))
                .bind(number(last))
                .bind(number(limit))
                .fetch_all(&mut *self.db)
                .await?;
            if rows.is_empty() {
                return Ok(None);
            }
            for stored in rows {
                if chunks.is_complete() {
                    break;
                }
                let (n, kind, text): (i64, i64, Vec<u8>) =
                    (stored.try_get("n")?, stored.try_get("kind")?, stored.try_get("delta")?);
                let change = || chunks.push(ChunkKind::from_code(kind)?, String::from_utf8(text).ok()?);
                if n != number(last) || change().is_none() {
                    return Ok(None);
                }
                last -= 1;
            }
            limit = limit.saturating_mul(4).min(MANY);
        }
        Ok(chunks.into_fragment())
    }
}
