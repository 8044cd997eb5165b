//! Clears sequence numbers that pass from one message to another.

use std::collections::{HashMap, HashSet};

use sqlx::PgConnection;
use throughline_core::Seq;
use throughline_engine::{
    StagedRows,
    rows::{MessageKey, ThreadKey},
};

const FREE: &str = "UPDATE throughline.messages m SET seq = NULL \
    FROM unnest($1::text[], $2::text[], $3::text[]) AS k (tenant, thread, id) \
    WHERE m.tenant = k.tenant AND m.thread = k.thread AND m.id = k.id";

/// Clears the sequence numbers that another message of the same images takes. The index of the order holds each number
/// once, and Postgres checks it after each row of the statement that writes them.
pub(super) async fn free_seqs(
    db: &mut PgConnection,
    stored: &HashMap<MessageKey, Seq>,
    staged: &StagedRows,
) -> sqlx::Result<()> {
    let freed = freed(stored, staged);
    if freed.is_empty() {
        return Ok(());
    }
    sqlx::query(FREE)
        .bind(freed.iter().map(|key| key.thread.tenant.as_str()).collect::<Vec<_>>())
        .bind(freed.iter().map(|key| key.thread.thread.as_str()).collect::<Vec<_>>())
        .bind(freed.iter().map(|key| key.id.as_str()).collect::<Vec<_>>())
        .execute(db)
        .await
        .map(drop)
}

/// Returns the messages whose sequence number another message takes.
fn freed<'s>(stored: &HashMap<MessageKey, Seq>, staged: &'s StagedRows) -> Vec<&'s MessageKey> {
    let taken: HashSet<(&ThreadKey, Seq)> = staged
        .messages
        .changed()
        .filter_map(|(key, row)| Some((key, row.seq?)))
        .filter(|(key, seq)| stored.get(key) != Some(seq))
        .map(|(key, seq)| (&key.thread, seq))
        .collect();
    if taken.is_empty() {
        return Vec::new();
    }
    let is_freed = |key: &MessageKey, seq: Option<Seq>| {
        stored.get(key).is_some_and(|stored| seq != Some(*stored) && taken.contains(&(&key.thread, *stored)))
    };
    let updated = staged.messages.updated().filter(|(key, row)| is_freed(key, row.seq));
    updated.map(|(key, _)| key).collect()
}
