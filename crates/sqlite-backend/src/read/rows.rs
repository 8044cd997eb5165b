//! Collects an answer from its rows.
//!
//! Every statement returns rows of two kinds, which the first column distinguishes: first a remark about the whole, and
//! then the messages in their order. The reader decodes each message while SQLite is at its row. So it holds no more
//! than the page and one message that did not fit.

use rusqlite::{Connection, Params, Row, params};
use throughline_core::{
    Effect, ErrorKind, Message, PersistError, Result, TenantId, ThreadId,
    backend::{AnswerBytes, EstimatedSize as _},
};

use super::Scope;
use crate::{
    error::EngineError,
    record::{Columns as _, Damage, Growth, Record, StoredChunk},
    rows::CHUNKS,
};

/// The kind of a remark about the whole, with its value in the second column. Any other number is a message with the
/// columns of [`message_columns!`](crate::record::message_columns).
const REMARK: i64 = 2;

/// The columns after those of a message.
pub(super) const THREAD: usize = 21;
pub(super) const SEQ: usize = 22;

/// The decoded rows of a statement.
pub(super) struct Answer<T> {
    /// The decoded messages, in the order of the statement.
    pub(super) messages: Vec<T>,
    /// The remark about the whole.
    pub(super) remark: Option<i64>,
    /// Whether the answer ends before a message that did not fit.
    pub(super) is_truncated: bool,
}

impl<T> Answer<T> {
    /// Runs a statement and decodes each message while SQLite is at its row. A message that does not fit decodes as
    /// `None` and ends the answer.
    ///
    /// # Errors
    /// `Corrupt` when an index names a row that does not exist: without the error the caller could not notice it.
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
                    let detail = "an index names a message that does not exist";
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

/// Returns the message of a record with its content: that of the row, of its blob, or of its appends.
pub(super) fn whole(db: &Connection, record: Record) -> rusqlite::Result<Result<Message, Damage>> {
    if !record.message.state.is_open() {
        let Record { message, content, .. } = record;
        return Ok(match content.read(db)? {
            Ok(content) => Ok(Message { content, ..message }),
            Err(fault) => {
                let (tenant, thread, id) = (&message.tenant, &message.thread, &message.id);
                tracing::warn!(target: "throughline_sqlite", %tenant, %thread, %id, "the blob of a message {fault}");
                Err(Damage::of_message(&message))
            }
        });
    }
    let Record { message_pk, message, appends, last_append, .. } = record;
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
    Ok(Err(Damage::of_message(&message)))
}

/// Returns the complete message of a row, or `None` if it does not fit. A damaged one, which holds no content, always
/// fits. It gets the sequence number of the index and not that of its row: the order of the rows comes from the index.
/// With another number a damaged row could be removed as the additional one, and no page would report it.
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

/// Embeds a statement that selects the keys of rows, `found`, into one that returns the rows.
///
/// `$with` defines `found (message_pk)`; `$remark` selects the rows that come before. The last columns of a message,
/// [`THREAD`] and [`SEQ`], are `$thread`, the text of a thread or NULL, and `$seq_literal`, the sequence number in the
/// index or NULL.
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
