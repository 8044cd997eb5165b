use sqlx::{AssertSqlSafe, Row as _};
use throughline_core::{
    Seq, ThreadId,
    backend::rules,
    messages::{Page, PageFrom, ReadPage, Visibility},
};

use super::{
    Answer, Scope,
    fitting::{fitting, left_out, message_size},
    message::{Stored, apart},
};
use crate::rows::{SELECTED, counter, message_columns, number};

impl Scope<'_> {
    /// Reads a page of a thread.
    pub(super) async fn page(&mut self, read: &ReadPage) -> Answer<Page> {
        rules::check_page(read.limit, read.max_bytes)?;
        let (position, ..) = self.feed_bounds().await?;
        let mut page = Page {
            thread: read.thread.clone(),
            messages: Vec::new(),
            damaged: Vec::new(),
            has_more: false,
            first_open: None,
            last_seq: Seq::ZERO,
            position,
        };
        let Some(state) = self.living(&read.thread).await? else { return Ok(page) };
        page.last_seq = state.last_seq;
        page.first_open = self.first_open(&read.thread, state.floor).await?;
        let (after, before) = match read.from {
            PageFrom::Start | PageFrom::End => (0, i64::MAX),
            PageFrom::After(seq) => (number(seq.get()), i64::MAX),
            PageFrom::Before(seq) => (0, number(seq.get())),
        };
        let before = match (read.visibility, page.first_open) {
            (Visibility::Settled, Some(open)) => before.min(number(open.get())),
            _ => before,
        };
        // A message with an invalid state is shown with the final ones, as damaged: otherwise it would disappear
        // from every page.
        let visible = match read.visibility {
            Visibility::Final => " AND m.state NOT IN ('reserved', 'streaming', 'abandoned')",
            Visibility::All | Visibility::Settled => "",
        };
        let order = if read.from.is_forward() { "ASC" } else { "DESC" };
        let rows = format!(
            concat!(
                "SELECT ",
                message_columns!(),
                ", m.content, ",
                message_size!(),
                " AS size FROM throughline.messages m WHERE m.tenant = $1 AND m.thread = $2 AND m.seq > $3 AND m.seq < $4{} \
                 ORDER BY m.seq {} LIMIT $5"
            ),
            visible, order
        );
        let sql = fitting!(SELECTED, rows, format_args!("seq {order}"), "$6");
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(self.tenant.as_str())
            .bind(read.thread.as_str())
            .bind(after.max(number(state.floor.get())))
            .bind(before)
            .bind(i64::from(read.limit) + 1)
            .bind(i64::from(read.max_bytes))
            .fetch_all(&mut *self.db)
            .await?;
        let limit = read.limit as usize;
        page.has_more = rows.len() > limit || left_out(&rows)? > 0;
        let mut found = rows.iter().take(limit).map(Stored::read).collect::<sqlx::Result<Vec<_>>>()?;
        if !read.from.is_forward() {
            found.reverse();
        }
        (page.messages, page.damaged) = apart(self.whole(found).await?);
        Ok(page)
    }

    /// Returns the sequence number of the first open message.
    pub(super) async fn first_open(&mut self, thread: &ThreadId, floor: Seq) -> Answer<Option<Seq>> {
        let row = sqlx::query(
            "SELECT seq FROM throughline.messages WHERE tenant = $1 AND thread = $2 AND seq > $3 \
             AND state IN ('reserved', 'streaming') ORDER BY seq LIMIT 1",
        )
        .bind(self.tenant.as_str())
        .bind(thread.as_str())
        .bind(number(floor.get()))
        .fetch_optional(&mut *self.db)
        .await?;
        Ok(match row {
            Some(row) => counter(row.try_get("seq")?).map(Seq::new),
            None => None,
        })
    }
}
