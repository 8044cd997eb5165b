//! What consumers of the changes keep of themselves. They speak of no thread, and nothing is told of them.

use rusqlite::{OptionalExtension, params};
use throughline_core::{
    ChangeQuarantined, ChangeReleased, ConsumerArgs, ConsumerName, ConsumerResult, CursorMoved, ErrorKind,
    MoveCursor, PersistError, Position, QuarantineChange, ReleaseChange, ResetCursor, backend::rules,
};

use super::{Applied, Failure, Outcome, Scope, refusal};
use crate::record::{Cursor, PassedOver, cursor_columns, number};

const FIND: &str =
    concat!("SELECT ", cursor_columns!(), " FROM consumers k WHERE k.tenant = ?1 AND k.consumer = ?2");

pub(super) fn apply(scope: Scope<'_>, args: &ConsumerArgs) -> Applied<Outcome> {
    let (result, changed) = match args {
        ConsumerArgs::MoveCursor(moved) => move_cursor(scope, moved)?,
        ConsumerArgs::ResetCursor(reset) => reset_cursor(scope, reset)?,
        ConsumerArgs::Quarantine(change) => quarantine(scope, change)?,
        ConsumerArgs::Release(change) => release(scope, change)?,
        other => {
            let what = format_args!("the operation `{}` of a consumer", other.as_str());
            return Err(PersistError::unsupported(what).into());
        }
    };
    Ok(Outcome { result: Some(result.into()), changed })
}

type Done = (ConsumerResult, bool);

fn move_cursor(scope: Scope<'_>, moved: &MoveCursor) -> Applied<Done> {
    let consumer = &moved.consumer;
    let cursor = find(scope, consumer)?;
    let before = cursor.map_or(Position::ZERO, |cursor| position(cursor.position));
    let after = rules::move_cursor(before, moved.to, moved.expected)?;
    if after != before {
        write(scope, consumer, cursor, after)?;
    }
    let answer = CursorMoved { consumer: consumer.clone(), position: after };
    Ok((ConsumerResult::MoveCursor(answer), after != before))
}

fn reset_cursor(scope: Scope<'_>, reset: &ResetCursor) -> Applied<Done> {
    let consumer = &reset.consumer;
    let cursor = match find(scope, consumer) {
        // This is how one that cannot be read is mended. What a statement failed with is the transaction's.
        Err(Failure::Refused(_)) => raw(scope, consumer)?,
        found => found?,
    };
    let consumer_pk = write(scope, consumer, cursor, reset.to)?;
    scope
        .db
        .prepare_cached("DELETE FROM quarantine WHERE consumer_pk = ?1 AND position > ?2")?
        .execute(params![consumer_pk, number(reset.to.get())])?;
    let answer = CursorMoved { consumer: consumer.clone(), position: reset.to };
    Ok((ConsumerResult::ResetCursor(answer), true))
}

fn quarantine(scope: Scope<'_>, change: &QuarantineChange) -> Applied<Done> {
    let consumer = &change.consumer;
    let consumer_pk = match find(scope, consumer)? {
        Some(cursor) => cursor.consumer_pk,
        None => write(scope, consumer, None, Position::ZERO)?,
    };
    let passed = PassedOver {
        position: number(change.position.get()),
        at: scope.now.as_micros(),
        thread: change.thread.as_str(),
        why: &change.why,
    };
    scope
        .db
        .prepare_cached(
            "INSERT INTO quarantine (consumer_pk, position, at, checksum, thread, why) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (consumer_pk, position) DO UPDATE \
             SET at = excluded.at, checksum = excluded.checksum, thread = excluded.thread, why = excluded.why",
        )?
        .execute(params![
            consumer_pk,
            passed.position,
            passed.at,
            passed.checksum(consumer_pk),
            passed.thread,
            passed.why
        ])?;
    let answer = ChangeQuarantined { consumer: consumer.clone(), position: change.position };
    Ok((ConsumerResult::Quarantine(answer), true))
}

fn release(scope: Scope<'_>, change: &ReleaseChange) -> Applied<Done> {
    let was_listed = match find(scope, &change.consumer)? {
        None => false,
        Some(cursor) => {
            let gone = scope
                .db
                .prepare_cached("DELETE FROM quarantine WHERE consumer_pk = ?1 AND position = ?2")?
                .execute(params![cursor.consumer_pk, number(change.position.get())])?;
            gone > 0
        }
    };
    let (consumer, position) = (change.consumer.clone(), change.position);
    Ok((ConsumerResult::Release(ChangeReleased { consumer, position, was_listed }), was_listed))
}

/// The cursor of a consumer, if it has ever kept anything.
fn find(scope: Scope<'_>, consumer: &ConsumerName) -> Applied<Option<Cursor>> {
    let (tenant, name) = (scope.tenant.as_str(), consumer.as_str());
    let found = scope
        .db
        .prepare_cached(FIND)?
        .query_row(params![tenant, name], |row| Ok(Cursor::read(row, 0, tenant, name)))
        .optional()?;
    match found {
        None => Ok(None),
        Some(Some(cursor)) => Ok(Some(cursor)),
        Some(None) => Err(refusal(ErrorKind::Corrupt, damaged(consumer)).into()),
    }
}

/// What is said of a cursor that is not what its checksum was made for.
pub(crate) fn damaged(consumer: &ConsumerName) -> String {
    format!("the cursor of the consumer `{consumer}` is damaged; put it anywhere to mend it")
}

/// The row of a consumer, whatever stands in it.
fn raw(scope: Scope<'_>, consumer: &ConsumerName) -> Applied<Option<Cursor>> {
    let found = scope
        .db
        .prepare_cached("SELECT consumer_pk FROM consumers WHERE tenant = ?1 AND consumer = ?2")?
        .query_row(params![scope.tenant.as_str(), consumer.as_str()], |row| row.get(0))
        .optional()?;
    Ok(found.map(|consumer_pk| Cursor { consumer_pk, position: 0 }))
}

/// Writes where the cursor of a consumer is, and answers the number of its row.
fn write(
    scope: Scope<'_>,
    consumer: &ConsumerName,
    cursor: Option<Cursor>,
    position: Position,
) -> Applied<i64> {
    let (tenant, name) = (scope.tenant.as_str(), consumer.as_str());
    let position = number(position.get());
    let checksum = Cursor::checksum(tenant, name, position);
    if let Some(Cursor { consumer_pk, .. }) = cursor {
        scope
            .db
            .prepare_cached("UPDATE consumers SET position = ?2, checksum = ?3 WHERE consumer_pk = ?1")?
            .execute(params![consumer_pk, position, checksum])?;
        return Ok(consumer_pk);
    }
    scope
        .db
        .prepare_cached(
            "INSERT INTO consumers (tenant, consumer, position, checksum) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![tenant, name, position, checksum])?;
    Ok(scope.db.last_insert_rowid())
}

fn position(stored: i64) -> Position {
    Position::new(u64::try_from(stored).unwrap_or_default())
}
