//! Putting an answer together from its rows.
//!
//! Every statement answers rows of several kinds, told apart by the first column: messages, what was appended to the
//! open ones, and what is said of the whole.

use std::collections::HashMap;

use sqlx::sqlite::SqliteRow;
use throughline_core::{Effect, ErrorKind, Message, PersistError, Result, TenantId, ThreadId};

use crate::record::{Columns as _, Damage, Growth, Record, number};

/// A message: the columns of [`message_columns!`](crate::record::message_columns).
const MESSAGE: i64 = 0;
/// A piece of an open message: message, number, kind, checksum, text.
const APPEND: i64 = 1;
/// Something said of the whole, in the second column.
const REMARK: i64 = 2;

/// The statement's rows, sorted out.
pub(super) struct Answer {
    messages: Vec<SqliteRow>,
    appends: HashMap<i64, Vec<SqliteRow>>,
    remark: Option<i64>,
}

impl Answer {
    pub(super) fn of(rows: Vec<SqliteRow>) -> Self {
        let mut answer =
            Self { messages: Vec::with_capacity(rows.len()), appends: HashMap::new(), remark: None };
        for row in rows {
            match (row.integer(0), row.integer(1)) {
                (Some(APPEND), Some(message_pk)) => answer.appends.entry(message_pk).or_default().push(row),
                (Some(REMARK), remark) => answer.remark = remark,
                (Some(MESSAGE) | Some(_) | None, _) => answer.messages.push(row),
            }
        }
        answer
    }

    pub(super) fn remark(&self) -> Option<i64> {
        self.remark
    }

    /// The rows of the messages, in no order.
    ///
    /// # Errors
    /// `Corrupt` when an index names a row that is not there: left out, it would be missed by nobody.
    pub(super) fn take_messages(&mut self) -> Result<Vec<SqliteRow>> {
        if self.messages.iter().any(|row| row.is_null(1)) {
            let detail = "an index names a message that is not there";
            return Err(PersistError::new(ErrorKind::Corrupt, detail).with_effect(Effect::NotApplied));
        }
        Ok(std::mem::take(&mut self.messages))
    }

    /// The message of a row, checked, and whole with what was appended to it.
    pub(super) fn message(
        &mut self,
        row: &SqliteRow,
        tenant: &TenantId,
        thread: &ThreadId,
    ) -> Result<Message> {
        let record = Record::read(row, tenant, thread).map_err(|damage| damage.into_error(thread))?;
        let Record { message_pk, message, appends, .. } = record;
        if !message.state.is_open() {
            return Ok(message);
        }
        let mut pieces = self.appends.remove(&message_pk).unwrap_or_default();
        pieces.sort_unstable_by_key(|piece| piece.integer(2));
        let mut growth = Growth::new();
        let whole = pieces.iter().all(|piece| growth.take(piece).is_some());
        if whole && growth.pieces() == appends {
            return Ok(Message { content: growth.content(), ..message });
        }
        let damage = Damage { id: Some(message.id), seq: Some(number(message.seq.get())) };
        Err(damage.into_error(thread))
    }
}

/// Sets the statement that names the rows of `found` into one that answers them, with what was appended to them.
///
/// `$with` defines `found (message_pk)`; `$thread` is the text of a thread or NULL, as the last column of a message;
/// `$remark` are further rows.
macro_rules! answer {
    ($with:expr, $thread:literal, $remark:literal) => {
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
            " FROM found f LEFT JOIN messages m ON m.message_pk = f.message_pk \
             UNION ALL SELECT 1, a.message_pk, a.n, a.kind, a.checksum, a.delta, NULL, NULL, NULL, NULL, NULL, NULL, \
             NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL \
             FROM chain c CROSS JOIN appends a ON a.append_pk = c.append_pk AND a.message_pk = c.message_pk",
            $remark
        )
    };
}
pub(super) use answer;
