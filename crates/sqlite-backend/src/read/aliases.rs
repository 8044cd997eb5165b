//! Reads the provider aliases of messages.

use rusqlite::params;
use throughline_core::{
    Result,
    backend::rules,
    messages::{AliasCursor, Aliases, ListAliases},
};

use super::{
    Scope,
    thread::{Known, corrupt, living},
};
use crate::{
    error::EngineError,
    record::{AliasRow, alias_columns, number},
};

/// The aliases after the one with the message `?3` and the number `?4`.
pub(super) const ALIASES: &str = concat!(
    "SELECT ",
    alias_columns!(),
    ", a.alias_pk FROM aliases a WHERE a.thread_pk = ?1 AND a.generation = ?2 \
     AND (a.message_id, a.alias_pk) > (?3, ?4) ORDER BY a.message_id, a.alias_pk LIMIT ?5"
);
pub(super) const ALIASES_OF_MESSAGE: &str = concat!(
    "SELECT ",
    alias_columns!(),
    ", a.alias_pk FROM aliases a WHERE a.thread_pk = ?1 AND a.generation = ?2 AND a.message_id = ?3 \
     AND a.alias_pk > ?4 ORDER BY a.alias_pk LIMIT ?5"
);
const ALIAS_PK: usize = 8;

pub(super) fn aliases(scope: Scope<'_>, list: &ListAliases) -> Result<Aliases> {
    rules::check_limit(list.limit)?;
    let mut answer = Aliases { thread: list.thread.clone(), aliases: Vec::new(), next: None };
    let Some(Known { thread_pk, head }) = living(scope, &list.thread)? else { return Ok(answer) };
    let after = list.after.as_ref();
    let n = match (after, &list.message) {
        // With a filter for one message, a cursor at another message is before or after all of its aliases.
        (Some(after), Some(message)) if after.message > *message => i64::MAX,
        (Some(after), Some(message)) if after.message < *message => 0,
        (after, _) => after.map_or(0, |after| number(after.n)),
    };
    let (sql, message) = match &list.message {
        Some(message) => (ALIASES_OF_MESSAGE, message.as_str()),
        None => (ALIASES, after.map_or("", |after| after.message.as_str())),
    };
    let mut statement = scope.db.prepare_cached(sql).map_err(EngineError::from)?;
    let parameters = params![thread_pk, head.generation, message, n, i64::from(list.limit) + 1];
    let mut rows = statement.query(parameters).map_err(EngineError::from)?;
    let mut last = 0;
    while let Some(row) = rows.next().map_err(EngineError::from)? {
        if let Some(before) = answer.aliases.last().filter(|_| answer.aliases.len() == list.limit as usize) {
            answer.next = Some(AliasCursor { message: before.message.clone(), n: last });
            break;
        }
        let Some(AliasRow { alias, .. }) = AliasRow::read(row, 0, thread_pk) else {
            return Err(corrupt(format!("an alias of a message in the thread `{}` is damaged", list.thread)));
        };
        last = row.get::<_, i64>(ALIAS_PK).map_err(EngineError::from)?.unsigned_abs();
        answer.aliases.push(alias);
    }
    Ok(answer)
}
