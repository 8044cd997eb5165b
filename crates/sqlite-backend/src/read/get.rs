use throughline_core::{GetMessage, Message, Result};

use crate::record::{Columns as _, DELETED, Damage};

use super::{
    Scope,
    rows::{Answer, answer},
};

pub(super) const GET: &str = answer!(
    "found AS MATERIALIZED (SELECT m.message_pk FROM threads t JOIN messages m ON m.thread_pk = t.thread_pk \
     WHERE t.tenant = ?1 AND t.thread = ?2 AND m.message_id = ?3)",
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
    let rows = answer.take_messages()?;
    let Some(row) = rows.first() else { return Ok(None) };
    if row.text(2) != Some(read.id.as_str().as_bytes()) {
        // The index led to another row: what that one says, or that it was deleted, is not about this message.
        return Err(Damage { id: Some(read.id.clone()), seq: None }.into_error(&read.thread));
    }
    // What a deleted message leaves has no place, and says so: a row that has lost its place is damage.
    if row.is_null(3) && row.text(5) == Some(DELETED.as_bytes()) {
        return Ok(None);
    }
    answer.message(row, scope.tenant, &read.thread).map(Some)
}
