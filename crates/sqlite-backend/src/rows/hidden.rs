//! Messages that a damaged index hides: their rows are in the table, and a look-up does not find them.

use std::collections::HashSet;

use rusqlite::params;
use throughline_engine::rows::{MessageKey, ThreadKey};

use super::{Source, corrupt};
use crate::{
    failure::Applied,
    record::{Columns as _, messages_behind},
};

/// The ids of a thread, by the index of the order.
const IDS: &str = concat!("SELECT m.message_id FROM ", messages_behind!("?1", "?2"));

/// The rows of a thread in the table, and those that the index of the order leads to.
const COUNTS: &str = concat!(
    "SELECT (SELECT count(*) FROM messages NOT INDEXED WHERE thread_pk = ?1 AND seq > 0), \
     (SELECT count(*) FROM ",
    messages_behind!("?1", "0"),
    ")"
);

impl Source<'_> {
    /// Returns whether the thread has a message with this id, although the index of the ids does not lead to it. Reads the
    /// thread once in each transaction.
    pub(super) fn is_hidden_message(&mut self, key: &MessageKey) -> Applied<bool> {
        let Some(thread) = self.stored_thread(&key.thread)? else { return Ok(false) };
        let (thread_pk, floor) = (thread.thread_pk, thread.head.floor);
        if !self.ids.contains_key(&key.thread) {
            let mut ids = HashSet::default();
            let mut statement = self.db.prepare_cached(IDS)?;
            let mut rows = statement.query(params![thread_pk, floor])?;
            while let Some(row) = rows.next()? {
                ids.extend(row.text(0).map(<[u8]>::to_vec));
            }
            self.ids.insert(key.thread.clone(), ids);
        }
        Ok(self.ids.get(&key.thread).is_some_and(|ids| ids.contains(key.id.as_str().as_bytes())))
    }

    /// Refuses a thread of which the index of the order hides messages. Reads the whole table.
    pub(super) fn expect_no_hidden(&mut self, key: &ThreadKey) -> Applied<()> {
        let thread_pk = self.thread_pk(key)?;
        let (stored, found): (i64, i64) =
            self.db.prepare_cached(COUNTS)?.query_row([thread_pk], |row| Ok((row.get(0)?, row.get(1)?)))?;
        if stored == found {
            return Ok(());
        }
        let detail = format!(
            "the index of the order leads to {found} of the {stored} messages of the thread `{}`: \
             copy the store with `Maintenance::rebuild_into`",
            key.thread
        );
        Err(corrupt(detail).into())
    }
}
