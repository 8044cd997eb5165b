//! Putting an answer together from its rows.
//!
//! Every statement answers rows of two kinds, told apart by the first column: what is said of the whole, first, and then the
//! messages in their order. Each becomes a message while its row is at hand, so that a reader holds no more of a page than the
//! page and the one message that did not fit.

use rusqlite::{Connection, Params, Row, params};
use throughline_core::{
    Effect, ErrorKind, Message, PersistError, Result, TenantId, ThreadId,
    backend::{AnswerBytes, EstimatedSize as _},
};

use super::Scope;
use crate::{
    error::EngineError,
    record::{Columns as _, Damage, Growth, Record, StoredChunk, number},
    rows::CHUNKS,
};

/// Something said of the whole, in the second column. A message, which is any other number, has the columns of
/// [`message_columns!`](crate::record::message_columns).
const REMARK: i64 = 2;

/// The columns of a message behind its own.
pub(super) const THREAD: usize = 21;
pub(super) const SEQ: usize = 22;

/// The statement's rows, sorted out.
pub(super) struct Answer<T> {
    /// What was made of each row of a message, in the order of the statement.
    pub(super) messages: Vec<T>,
    /// What is said of the whole.
    pub(super) remark: Option<i64>,
    /// Whether it ended before a message that did not fit.
    pub(super) is_truncated: bool,
}

impl<T> Answer<T> {
    /// Runs a statement, and makes something of each message while its row is at hand; nothing of one that does not fit any
    /// more, which ends the answer.
    ///
    /// # Errors
    /// `Corrupt` when an index names a row that is not there: left out, it would be missed by nobody.
    pub(super) fn read(
        scope: Scope<'_>,
        sql: &str,
        parameters: impl Params,
        mut message: impl FnMut(&Row<'_>) -> rusqlite::Result<Option<T>>,
    ) -> Result<Self> {
        let mut answer = Self { messages: Vec::new(), remark: None, is_truncated: false };
        let mut statement = scope.db.prepare_cached(sql).map_err(EngineError::from)?;
        let mut rows = statement.query(parameters).map_err(EngineError::from)?;
        while let Some(row) = rows.next().map_err(EngineError::from)? {
            match (row.integer(0), row.integer(1)) {
                (Some(REMARK), remark) => answer.remark = remark,
                _ if row.is_null(1) => {
                    let detail = "an index names a message that is not there";
                    return Err(PersistError::new(ErrorKind::Corrupt, detail).with_effect(Effect::NotApplied));
                }
                _ => match message(row).map_err(EngineError::from)? {
                    Some(message) => answer.messages.push(message),
                    None => {
                        answer.is_truncated = true;
                        break;
                    }
                },
            }
        }
        Ok(answer)
    }
}

/// The message of a record, whole with what was appended to it.
pub(super) fn whole(db: &Connection, record: Record) -> rusqlite::Result<Result<Message, Damage>> {
    let Record { message_pk, message, appends, last_append, .. } = record;
    if !message.state.is_open() {
        return Ok(Ok(message));
    }
    let (mut growth, mut is_whole) = (Growth::new(), true);
    if appends > 0 {
        let mut statement = db.prepare_cached(CHUNKS)?;
        let mut rows = statement.query(params![message_pk, last_append])?;
        while is_whole && let Some(row) = rows.next()? {
            is_whole = growth.take(StoredChunk::read(row)).is_some();
        }
    }
    if is_whole && growth.chunks() == appends {
        return Ok(Ok(Message { content: growth.content(), ..message }));
    }
    Ok(Err(Damage { id: Some(message.id), seq: Some(number(message.seq.get())) }))
}

/// The message of a row, whole; nothing where it does not fit any more. A damaged one, of which nothing is kept, always does. It is
/// where the index has it, whatever it says itself: by that the others were found, and one at another place would be cut off as
/// the one too many, and told of by no page.
pub(super) fn placed(
    scope: Scope<'_>,
    row: &Row<'_>,
    thread: &ThreadId,
    bytes: &mut AnswerBytes,
) -> rusqlite::Result<Option<Result<Message, Damage>>> {
    let tenant: &TenantId = scope.tenant;
    let read = match Record::read(row, tenant, thread) {
        Ok(record) => whole(scope.db, record)?,
        Err(damage) => Err(Damage { seq: row.integer(SEQ), ..damage }),
    };
    Ok(match read {
        Ok(message) if !bytes.take(message.estimated_size()) => None,
        read => Some(read),
    })
}

/// Sets the statement that names the rows of `found` into one that answers them.
///
/// `$with` defines `found (message_pk)`; `$remark` are rows that come before; `$thread` is the text of a thread or NULL, and `$seq_literal`
/// where the index has the message in it or NULL, as the last columns of a message, [`THREAD`] and [`SEQ`].
macro_rules! answer {
    ($with:expr, $remark:literal, $thread:literal, $seq_literal:literal) => {
        concat!(
            "WITH ",
            $with,
            " ",
            $remark,
            "SELECT 0, ",
            $crate::record::message_columns!(),
            ", ",
            $thread,
            ", ",
            $seq_literal,
            " FROM found f LEFT JOIN messages m ON m.message_pk = f.message_pk"
        )
    };
}
pub(super) use answer;
