//! Putting an answer together from its rows.
//!
//! Every statement answers rows of several kinds, told apart by the first column: messages, what was appended to the
//! open ones, and what is said of the whole.

use std::collections::HashMap;

use rusqlite::{Params, Row};
use throughline_core::{Effect, ErrorKind, Message, PersistError, Result, TenantId, ThreadId};

use super::Scope;
use crate::{
    error::EngineError,
    record::{Columns as _, Damage, Growth, Piece, Record, number},
};

/// A piece of an open message: message, number, kind, checksum, text. A message, which is any other number than these
/// two, has the columns of [`message_columns!`](crate::record::message_columns).
const APPEND: i64 = 1;
/// Something said of the whole, in the second column.
const REMARK: i64 = 2;

/// The columns of a message behind its own.
pub(super) const THREAD: usize = 21;
pub(super) const PLACE: usize = 22;

/// The statement's rows, sorted out.
pub(super) struct Answer<T> {
    /// What was made of each row of a message, in no order.
    pub(super) messages: Vec<T>,
    /// What is said of the whole.
    pub(super) remark: Option<i64>,
    pub(super) pieces: Pieces,
}

/// What was appended to each open message, in no order; nothing for a piece that is damaged.
#[derive(Default)]
pub(super) struct Pieces(HashMap<i64, Vec<Option<Piece>>>);

impl<T> Answer<T> {
    /// Runs a statement, and makes something of each message while its row is at hand.
    ///
    /// # Errors
    /// `Corrupt` when an index names a row that is not there: left out, it would be missed by nobody.
    pub(super) fn read(
        scope: Scope<'_>,
        sql: &str,
        parameters: impl Params,
        message: impl Fn(&Row<'_>) -> T,
    ) -> Result<Self> {
        let mut answer = Self { messages: Vec::new(), remark: None, pieces: Pieces::default() };
        let mut statement = scope.db.prepare_cached(sql).map_err(EngineError::from)?;
        let mut rows = statement.query(parameters).map_err(EngineError::from)?;
        while let Some(row) = rows.next().map_err(EngineError::from)? {
            match (row.integer(0), row.integer(1)) {
                (Some(APPEND), Some(message_pk)) => {
                    answer.pieces.0.entry(message_pk).or_default().push(Piece::read(row));
                }
                (Some(REMARK), remark) => answer.remark = remark,
                _ if row.is_null(1) => {
                    let detail = "an index names a message that is not there";
                    return Err(PersistError::new(ErrorKind::Corrupt, detail).with_effect(Effect::NotApplied));
                }
                _ => answer.messages.push(message(row)),
            }
        }
        Ok(answer)
    }
}

impl Pieces {
    /// The message, whole with what was appended to it.
    pub(super) fn complete(&mut self, record: Record) -> std::result::Result<Message, Damage> {
        let Record { message_pk, message, appends, .. } = record;
        if !message.state.is_open() {
            return Ok(message);
        }
        let mut pieces = self.0.remove(&message_pk).unwrap_or_default();
        pieces.sort_unstable_by_key(|piece| piece.as_ref().map(|piece| piece.n));
        let mut growth = Growth::new();
        let whole = pieces.into_iter().all(|piece| growth.take(piece).is_some());
        if whole && growth.pieces() == appends {
            return Ok(Message { content: growth.content(), ..message });
        }
        Err(Damage { id: Some(message.id), seq: Some(number(message.seq.get())) })
    }
}

/// The message of a row. A damaged one is where the index has it, whatever it says itself: by that the others were found, and one
/// at another place would be cut off as the one too many, and told of by no page.
pub(super) fn placed(
    row: &Row<'_>,
    tenant: &TenantId,
    thread: &ThreadId,
) -> std::result::Result<Record, Damage> {
    Record::read(row, tenant, thread).map_err(|damage| Damage { seq: row.integer(PLACE), ..damage })
}

/// Sets the statement that names the rows of `found` into one that answers them, with what was appended to them.
///
/// `$with` defines `found (message_pk)`; `$thread` is the text of a thread or NULL, and `$place` where the index has the message in
/// it or NULL, as the last columns of a message, [`THREAD`] and [`PLACE`]; `$remark` are further rows.
macro_rules! answer {
    ($with:expr, $thread:literal, $place:literal, $remark:literal) => {
        concat!(
            "WITH RECURSIVE ",
            $with,
            ", ",
            $crate::record::append_chain!(
                "SELECT m.message_pk, m.last_append FROM found f CROSS JOIN messages m ON m.message_pk = f.message_pk \
                 WHERE m.last_append IS NOT NULL"
            ),
            " SELECT 0, ",
            $crate::record::message_columns!(),
            ", ",
            $thread,
            ", ",
            $place,
            " FROM found f LEFT JOIN messages m ON m.message_pk = f.message_pk \
             UNION ALL SELECT 1, a.message_pk, a.n, a.kind, a.checksum, a.delta, NULL, NULL, NULL, NULL, NULL, NULL, \
             NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL \
             FROM chain c CROSS JOIN appends a ON a.append_pk = c.append_pk AND a.message_pk = c.message_pk",
            $remark
        )
    };
}
pub(super) use answer;
