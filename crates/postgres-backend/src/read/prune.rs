//! The plan of a prune.

use sqlx::Row as _;
use throughline_core::{
    Seq,
    threads::{Generation, PlanPrune, PrunePlan},
};

use super::{Answer, Scope};
use crate::rows::{counter, number};

/// The latest message, counted from the end, that exceeds the number or the bytes.
const TOO_MANY: &str = "SELECT max(seq) AS through FROM (SELECT seq, count(*) FILTER (WHERE state = 'final') OVER w AS finals, \
    sum(content_bytes) OVER w AS bytes FROM throughline.messages WHERE tenant = $1 AND thread = $2 AND seq > $3 \
    WINDOW w AS (ORDER BY seq DESC)) AS counted WHERE finals > $4 OR bytes > $5";

/// The last message before the first one that is recent enough.
const TOO_OLD: &str = "SELECT max(seq) AS through FROM throughline.messages WHERE tenant = $1 AND thread = $2 AND seq > $3 \
    AND seq < coalesce((SELECT min(y.seq) FROM throughline.messages y WHERE y.tenant = $1 AND y.thread = $2 AND y.seq > $3 \
    AND y.created_at >= $4), 9223372036854775807)";

/// The messages up to a sequence number and before the first open message.
const GOING: &str = "SELECT max(seq) AS through, count(*) AS messages, coalesce(sum(content_bytes), 0)::bigint AS bytes \
    FROM throughline.messages WHERE tenant = $1 AND thread = $2 AND seq > $3 AND seq <= $4 AND seq < $5";

impl Scope<'_> {
    /// Determines which messages a prune would remove.
    pub(super) async fn plan_prune(&mut self, read: &PlanPrune) -> Answer<PrunePlan> {
        let thread = read.thread.clone();
        let mut plan =
            PrunePlan { thread, generation: Generation::FIRST, through: None, messages: 0, bytes: 0 };
        let Some(state) = self.living(&read.thread).await? else { return Ok(plan) };
        plan.generation = state.generation;
        let Some(through) = self.beyond(read, state.floor).await? else { return Ok(plan) };
        let first_open = self.first_open(&read.thread, state.floor).await?;
        let row = sqlx::query(GOING)
            .bind(self.tenant.as_str())
            .bind(read.thread.as_str())
            .bind(number(state.floor.get()))
            .bind(through)
            .bind(first_open.map_or(i64::MAX, |seq| number(seq.get())))
            .fetch_one(&mut *self.db)
            .await?;
        plan.through = row.try_get::<Option<i64>, _>("through")?.and_then(counter).map(Seq::new);
        plan.messages = counter(row.try_get("messages")?).unwrap_or_default();
        plan.bytes = counter(row.try_get("bytes")?).unwrap_or_default();
        Ok(plan)
    }

    /// Returns the last sequence number that is beyond a limit.
    async fn beyond(&mut self, read: &PlanPrune, floor: Seq) -> Answer<Option<i64>> {
        let keep = &read.keep;
        let mut beyond = None;
        if keep.messages.is_some() || keep.bytes.is_some() {
            let row = sqlx::query(TOO_MANY)
                .bind(self.tenant.as_str())
                .bind(read.thread.as_str())
                .bind(number(floor.get()))
                .bind(keep.messages.map_or(i64::MAX, number))
                .bind(keep.bytes.map_or(i64::MAX, number))
                .fetch_one(&mut *self.db)
                .await?;
            beyond = row.try_get("through")?;
        }
        if let Some(since) = keep.since {
            let row = sqlx::query(TOO_OLD)
                .bind(self.tenant.as_str())
                .bind(read.thread.as_str())
                .bind(number(floor.get()))
                .bind(since.as_micros())
                .fetch_one(&mut *self.db)
                .await?;
            beyond = beyond.max(row.try_get("through")?);
        }
        Ok(beyond)
    }
}
