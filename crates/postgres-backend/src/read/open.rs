use sqlx::AssertSqlSafe;
use throughline_core::{
    ThreadId,
    backend::rules,
    messages::{ListOpen, OpenCursor, OpenReservations},
};

use super::{
    Answer, Scope,
    fitting::{fitting, left_out, message_size},
    message::{Stored, apart},
};
use crate::rows::{SELECTED, message_columns, number};

impl Scope<'_> {
    /// Lists the open messages.
    pub(super) async fn open(&mut self, list: &ListOpen) -> Answer<OpenReservations> {
        rules::check_page(list.limit, list.max_bytes)?;
        let rows = format!(
            concat!(
                "SELECT ",
                message_columns!(),
                ", m.content, ",
                message_size!(),
                " AS size FROM throughline.messages m JOIN throughline.threads t ON t.tenant = m.tenant AND t.thread = m.thread \
                 WHERE m.tenant = $1 AND m.state IN ('reserved', 'streaming') AND m.seq > t.floor \
                 AND (m.thread, m.seq) > ($2, $3) \
                 AND (NOT $4 OR m.lease_expires_at IS NULL OR m.lease_expires_at <= $5){} \
                 ORDER BY m.thread, m.seq LIMIT $6"
            ),
            if list.thread.is_some() { " AND m.thread = $8" } else { "" }
        );
        let sql = fitting!(SELECTED, rows, "thread, seq", "$7");
        let (after_thread, after_seq) = match &list.after {
            Some(after) => (after.thread.as_str(), number(after.seq.get())),
            None => ("", 0),
        };
        let asked = sqlx::query(AssertSqlSafe(sql))
            .bind(self.tenant.as_str())
            .bind(after_thread)
            .bind(after_seq)
            .bind(list.expired_only)
            .bind(self.now.as_micros())
            .bind(i64::from(list.limit) + 1)
            .bind(i64::from(list.max_bytes));
        let asked = match &list.thread {
            Some(thread) => asked.bind(ThreadId::as_str(thread)),
            None => asked,
        };
        let rows = asked.fetch_all(&mut *self.db).await?;
        let limit = list.limit as usize;
        let found = rows.iter().take(limit).map(Stored::read).collect::<sqlx::Result<Vec<_>>>()?;
        let last =
            found.last().and_then(|last| Some(OpenCursor { thread: last.thread.clone(), seq: last.seq? }));
        let next = if rows.len() > limit || left_out(&rows)? > 0 { last } else { None };
        let (messages, damaged) = apart(self.whole(found).await?);
        Ok(OpenReservations { messages, damaged, next })
    }
}
