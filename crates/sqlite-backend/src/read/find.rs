//! Finds messages by a metadata field.

use rusqlite::{Row, ToSql, params};
use throughline_core::{
    Effect, ErrorKind, IndexedMetadata, PersistError, Result, Seq, Timestamp,
    backend::{index_is_incomplete, rules},
    messages::{FindCursor, FindMessages, FindOrder, FoundMessages},
};
use throughline_engine::read::{FindCriterion, FoundPage};

use super::{
    Scope,
    rows::{SEQ, THREAD, whole},
    thread::{Known, living, nameless, thread_id},
};
use crate::{
    error::EngineError,
    metadata_index::NameState,
    record::{Columns as _, Damage, Record, message_columns, number},
};

const FLOOR: usize = 23;
const THREAD_IS_DELETED: usize = 24;
const CREATED_AT: usize = 25;

/// Entries of the index, each with its message and its thread. The statement is stepped until the page is full.
macro_rules! entries {
    ($conditions:literal, $order:literal) => {
        concat!(
            "SELECT 0, ",
            message_columns!(),
            ", f.thread, f.seq, t.floor, t.deleted, f.created_at FROM metadata_values f \
             CROSS JOIN threads t ON t.thread_pk = f.thread_pk LEFT JOIN messages m ON m.message_pk = f.message_pk \
             WHERE ",
            $conditions,
            " ORDER BY ",
            $order
        )
    };
}

/// In a thread: its number, the name, the value, and the sequence number of the cursor.
pub(super) const IN_THREAD: [&str; 2] = [
    entries!("f.thread_pk = ?1 AND f.name_pk = ?2 AND f.value = ?3 AND f.seq > ?4", "f.seq"),
    entries!("f.thread_pk = ?1 AND f.name_pk = ?2 AND f.value = ?3 AND f.seq < ?4", "f.seq DESC"),
];

/// In a tenant: its name, the name, the value, and the cursor.
pub(super) const OF_TENANT: [&str; 2] = [
    entries!(
        "f.tenant = ?1 AND f.name_pk = ?2 AND f.value = ?3 AND (f.created_at, f.thread, f.seq) > (?4, ?5, ?6)",
        "f.created_at, f.thread, f.seq"
    ),
    entries!(
        "f.tenant = ?1 AND f.name_pk = ?2 AND f.value = ?3 AND (f.created_at, f.thread, f.seq) < (?4, ?5, ?6)",
        "f.created_at DESC, f.thread DESC, f.seq DESC"
    ),
];

/// Finds messages by a metadata field that the host has declared.
pub(super) fn find(
    scope: Scope<'_>,
    indexed: &IndexedMetadata,
    find: &FindMessages,
) -> Result<FoundMessages> {
    rules::check_page(find.limit, find.max_bytes)?;
    let criterion = FindCriterion::of(find)?;
    indexed.expect(criterion.name())?;
    let name_pk = match NameState::of(scope.db, criterion.name()).map_err(EngineError::from)? {
        Some(NameState { name_pk, is_complete: true }) => name_pk,
        Some(_) => return Err(index_is_incomplete(criterion.name())),
        None => {
            let name = criterion.name();
            let detail = format!(
                "another host has dropped the index of the metadata field `{name}`: open the store again"
            );
            return Err(PersistError::new(ErrorKind::Unsupported, detail).with_effect(Effect::NotApplied));
        }
    };
    let value = criterion.index_key();
    let backward = usize::from(find.order == FindOrder::NewestFirst);
    let (at, thread, seq) = match &find.after {
        Some(after) => (after.created_at.as_micros(), after.thread.as_str(), number(after.seq.get())),
        None if backward == 0 => (i64::MIN, "", 0),
        None => (i64::MAX, "", i64::MAX),
    };
    if let Some(in_thread) = &find.thread {
        let Some(Known { thread_pk, head }) = living(scope, in_thread)? else {
            return Ok(FoundPage::new(find).into_answer());
        };
        // Messages up to the floor need not be skipped.
        let seq = if backward == 0 { seq.max(head.floor) } else { seq };
        return entries(
            scope,
            (find, &criterion),
            IN_THREAD[backward],
            params![thread_pk, name_pk, value, seq],
        );
    }
    let parameters = params![scope.tenant.as_str(), name_pk, value, at, thread, seq];
    entries(scope, (find, &criterion), OF_TENANT[backward], parameters)
}

fn entries(
    scope: Scope<'_>,
    (find, criterion): (&FindMessages, &FindCriterion<'_>),
    sql: &str,
    parameters: &[&dyn ToSql],
) -> Result<FoundMessages> {
    let mut page = FoundPage::new(find);
    let mut statement = scope.db.prepare_cached(sql).map_err(EngineError::from)?;
    let mut rows = statement.query(parameters).map_err(EngineError::from)?;
    while let Some(row) = rows.next().map_err(EngineError::from)? {
        if !page.has_entry() || !examine(scope, criterion, row, &mut page).map_err(EngineError::from)? {
            break;
        }
    }
    Ok(page.into_answer())
}

/// Examines an entry. Returns whether the page goes on.
fn examine(
    scope: Scope<'_>,
    criterion: &FindCriterion<'_>,
    row: &Row<'_>,
    page: &mut FoundPage,
) -> rusqlite::Result<bool> {
    let thread = thread_id(row, THREAD).unwrap_or_else(nameless);
    let seq = row.integer(SEQ).and_then(|seq| u64::try_from(seq).ok()).map_or(Seq::ZERO, Seq::new);
    let created_at = Timestamp::from_micros(row.integer(CREATED_AT).unwrap_or_default());
    let at = FindCursor { created_at, thread: thread.clone(), seq };
    let floor = row.integer(FLOOR).and_then(|floor| u64::try_from(floor).ok()).map_or(Seq::ZERO, Seq::new);
    // An entry without a message, of a tombstone or of a cleared message is none of the answer.
    let is_hidden =
        row.is_null(1) || row.is_null(3) || row.integer(THREAD_IS_DELETED) != Some(0) || seq <= floor;
    if is_hidden {
        return Ok(page.examine(at, Ok(None)));
    }
    let read = match Record::read(row, scope.tenant, &thread) {
        Ok(Record { message, .. })
            if !criterion.matches(floor, message.seq, message.state, &message.metadata) =>
        {
            return Ok(page.examine(at, Ok(None)));
        }
        Ok(record) => whole(scope.db, record)?,
        Err(damage) => Err(Damage { seq: row.integer(SEQ), ..damage }),
    };
    Ok(page.examine(at, read.map(Some).map_err(|damage| damage.of(&thread))))
}
