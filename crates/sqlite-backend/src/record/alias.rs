use rusqlite::{Connection, params};
use throughline_core::{
    MessageId, Role,
    ids::{EventId, ItemId, TurnId},
    messages::{Alias, Origin},
};

use super::{Checksum, Columns};

/// A provider alias of a message: a row of `aliases`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AliasRow {
    pub(crate) generation: i64,
    /// The last sequence number of the thread when the alias was recorded.
    pub(crate) seen: i64,
    pub(crate) alias: Alias,
}

/// The columns of an alias, as `a`, in the order in which [`AliasRow::read`] expects them.
macro_rules! alias_columns {
    () => {
        "a.generation, a.seen, a.role, a.checksum, a.turn, a.item, a.event, a.message_id"
    };
}
pub(crate) use alias_columns;

impl AliasRow {
    /// Reads the columns of [`alias_columns!`] from `at` on; `None` if their checksum does not match.
    pub(crate) fn read(row: &impl Columns, at: usize, thread_pk: i64) -> Option<Self> {
        let origin = Origin {
            turn: row.optional_str(at + 4)?.map(TurnId::new).transpose().ok()?,
            item: row.optional_str(at + 5)?.map(ItemId::new).transpose().ok()?,
            event: row.optional_str(at + 6)?.map(EventId::new).transpose().ok()?,
        };
        let alias = Alias {
            message: MessageId::new(str::from_utf8(row.text(at + 7)?).ok()?).ok()?,
            role: str::from_utf8(row.text(at + 2)?).ok().and_then(Role::from_name)?,
            origin,
        };
        let alias = Self { generation: row.integer(at)?, seen: row.integer(at + 1)?, alias };
        (alias.checksum(thread_pk) == row.integer(at + 3)?).then_some(alias)
    }

    pub(crate) fn insert(&self, db: &Connection, thread_pk: i64) -> rusqlite::Result<()> {
        let Self { generation, seen, alias: Alias { message, role, origin } } = self;
        db.prepare_cached(
            "INSERT INTO aliases (thread_pk, generation, seen, role, checksum, turn, item, event, message_id) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            thread_pk,
            generation,
            seen,
            role.as_str(),
            self.checksum(thread_pk),
            origin.turn.as_ref().map(TurnId::as_str),
            origin.item.as_ref().map(ItemId::as_str),
            origin.event.as_ref().map(EventId::as_str),
            message.as_str(),
        ])?;
        Ok(())
    }

    fn checksum(&self, thread_pk: i64) -> i64 {
        let Self { generation, seen, alias: Alias { message, role, origin } } = self;
        let Origin { turn, item, event } = origin;
        Checksum::new()
            .integer(thread_pk)
            .integer(*generation)
            .integer(*seen)
            .text(role.as_str())
            .optional_text(turn.as_ref().map(TurnId::as_str))
            .optional_text(item.as_ref().map(ItemId::as_str))
            .optional_text(event.as_ref().map(EventId::as_str))
            .text(message.as_str())
            .finish()
    }
}
