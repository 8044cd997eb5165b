//! Reads the cursors and the quarantine of consumers.

use rusqlite::{OptionalExtension, params};
use throughline_core::{
    Position, Result, ThreadId, Timestamp,
    backend::rules,
    changes::{ConsumerCursor, GetCursor, ListQuarantined, QuarantinedChange, QuarantinedChanges},
    ids::ConsumerName,
};

use super::{Scope, thread::corrupt};
use crate::{
    error::EngineError,
    record::{Cursor, QuarantineRow, cursor_columns, number, quarantine_columns},
    rows::damaged_consumer,
};

const CURSOR: &str = concat!(
    "SELECT ",
    cursor_columns!(),
    ", (SELECT count(*) FROM quarantine q WHERE q.consumer_pk = k.consumer_pk) \
     FROM consumers k WHERE k.tenant = ?1 AND k.consumer = ?2"
);
const QUARANTINED: usize = 3;

const LIST_QUARANTINED: &str = concat!(
    "SELECT ",
    quarantine_columns!(),
    " FROM quarantine q WHERE q.consumer_pk = ?1 AND q.position > ?2 ORDER BY q.position LIMIT ?3"
);

/// Reads the cursor of a consumer.
pub(super) fn cursor(scope: Scope<'_>, read: &GetCursor) -> Result<ConsumerCursor> {
    let found = find(scope, &read.consumer)?;
    let (position, quarantined) =
        found.map_or((Position::ZERO, 0), |(cursor, count)| (position(cursor.position), count));
    Ok(ConsumerCursor { consumer: read.consumer.clone(), position, quarantined })
}

fn find(scope: Scope<'_>, consumer: &ConsumerName) -> Result<Option<(Cursor, u64)>> {
    let (tenant, name) = (scope.tenant.as_str(), consumer.as_str());
    let found = scope
        .db
        .prepare_cached(CURSOR)
        .and_then(|mut statement| {
            let read = |row: &rusqlite::Row<'_>| {
                let count = row.get::<_, i64>(QUARANTINED)?;
                Ok(Cursor::read(row, 0, tenant, name).map(|cursor| (cursor, count.unsigned_abs())))
            };
            statement.query_row(params![tenant, name], read).optional()
        })
        .map_err(EngineError::from)?;
    match found {
        None => Ok(None),
        Some(Some(found)) => Ok(Some(found)),
        Some(None) => Err(corrupt(damaged_consumer(consumer))),
    }
}

/// Lists the quarantined changes of a consumer.
pub(super) fn quarantined(scope: Scope<'_>, list: &ListQuarantined) -> Result<QuarantinedChanges> {
    rules::check_limit(list.limit)?;
    let limit = list.limit as usize;
    let mut answer = QuarantinedChanges { consumer: list.consumer.clone(), changes: Vec::new(), more: false };
    let Some((cursor, _)) = find(scope, &list.consumer)? else { return Ok(answer) };
    let mut statement = scope.db.prepare_cached(LIST_QUARANTINED).map_err(EngineError::from)?;
    let parameters = params![cursor.consumer_pk, number(list.after.get()), i64::from(list.limit) + 1];
    let mut rows = statement.query(parameters).map_err(EngineError::from)?;
    while let Some(row) = rows.next().map_err(EngineError::from)? {
        if answer.changes.len() == limit {
            answer.more = true;
            break;
        }
        let change = QuarantineRow::read(row, 0, cursor.consumer_pk).and_then(|passed| {
            Some(QuarantinedChange {
                position: position(passed.position),
                thread: ThreadId::new(passed.thread).ok()?,
                at: Timestamp::from_micros(passed.at),
                why: passed.why.to_owned(),
            })
        });
        let Some(change) = change else {
            return Err(corrupt(format!("the quarantine of the consumer `{}` is damaged", list.consumer)));
        };
        answer.changes.push(change);
    }
    Ok(answer)
}

fn position(stored: i64) -> Position {
    Position::new(u64::try_from(stored).unwrap_or_default())
}
