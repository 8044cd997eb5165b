use throughline_core::{GetMessage, Message, Result};

use super::{
    Scope,
    rows::{Answer, answer},
};

pub(super) const GET: &str = answer!(
    "found AS MATERIALIZED (SELECT m.message_pk FROM threads t JOIN messages m ON m.thread_pk = t.thread_pk \
     WHERE t.tenant = ?1 AND t.thread = ?2 AND m.message_id = ?3 AND m.seq IS NOT NULL)",
    "NULL",
    ""
);

/// Reads one message.
pub(super) async fn get(scope: Scope<'_>, read: &GetMessage) -> Result<Option<Message>> {
    let statement = sqlx::query(GET)
        .bind(scope.tenant.as_str().to_owned())
        .bind(read.thread.as_str().to_owned())
        .bind(read.id.as_str().to_owned());
    let mut answer = Answer::of(scope.rows(statement).await?);
    let rows = answer.take_messages();
    rows.first().map(|row| answer.message(row, scope.tenant, &read.thread)).transpose()
}
