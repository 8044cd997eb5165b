//! Messages of a thread by their sequence numbers.

use rusqlite::params;
use throughline_core::MessageId;
use throughline_engine::rows::{MessageKey, MessageRange, MessageRow, RangeKind};

use super::{Source, corrupt, message::Found};
use crate::{
    failure::Applied,
    record::{Columns as _, ThreadSegment, by_seq, message_columns, messages_behind, number},
};

macro_rules! messages {
    ($which:expr) => {
        concat!("SELECT 0, ", message_columns!(), " FROM ", $which, " LIMIT ?3")
    };
}

pub(crate) const QUESTIONS: &str = messages!(concat!(
    messages_behind!("?1", "?2"),
    " AND m.state = 'final' AND m.role = 'user'",
    by_seq!("DESC")
));
pub(crate) const OLDEST: &str = messages!(concat!(messages_behind!("?1", "?2"), by_seq!("ASC")));
pub(crate) const LATEST: &str = messages!(concat!(messages_behind!("?1", "?2"), by_seq!("DESC")));
pub(crate) const OPEN: &str = messages!(
    "messages m WHERE m.thread_pk = ?1 AND m.seq > ?2 AND m.state IN ('reserved', 'streaming') ORDER BY m.seq"
);
pub(crate) const PURGEABLE: &str = messages!(concat!(messages_behind!("?1", "0", "<= ?2"), by_seq!("ASC")));

impl Source<'_> {
    pub(super) fn find_range(&mut self, range: &MessageRange) -> Applied<Vec<(MessageId, MessageRow)>> {
        let Some(thread) = self.stored_thread(&range.thread)? else { return Ok(Vec::new()) };
        let (thread_pk, last_segment) = (thread.thread_pk, thread.head.last_segment);
        let floor = number(range.floor.get());
        let sql = match range.kind {
            RangeKind::Questions => QUESTIONS,
            RangeKind::Oldest | RangeKind::All => OLDEST,
            RangeKind::Latest => LATEST,
            RangeKind::Open => OPEN,
            RangeKind::Purgeable => PURGEABLE,
        };
        let limit = if range.kind.skips_damaged() { u64::MAX } else { range.limit };
        let mut found: Vec<(MessageId, MessageRow)> = Vec::new();
        let mut last_read = 0;
        {
            let mut statement = self.db.prepare_cached(sql)?;
            let mut rows = statement.query(params![thread_pk, floor, number(limit)])?;
            while (found.len() as u64) < range.limit
                && let Some(row) = rows.next()?
            {
                let read = if range.kind == RangeKind::Purgeable {
                    Found::read_removed(row)
                } else {
                    Found::read(row, &range.thread)
                };
                match read {
                    Ok(Found { id, row, stored }) => {
                        last_read = last_read.max(stored.seq.unwrap_or_default());
                        let key = MessageKey { thread: range.thread.clone(), id: id.clone() };
                        // A message under repair is loaded already, without its damaged values.
                        self.messages.entry(key).or_insert(stored);
                        found.push((id, row));
                    }
                    Err(_) if range.kind.skips_damaged() => {}
                    Err(_) if range.kind == RangeKind::Purgeable => {
                        let (seq, thread) = (row.integer(3).unwrap_or_default(), &range.thread.thread);
                        let detail = format!(
                            "the attachments of the message of seq {seq} in the thread `{thread}` are damaged"
                        );
                        return Err(corrupt(detail).into());
                    }
                    Err(damage) => return Err(damage.into_error(&range.thread.thread).into()),
                }
            }
        }
        // The oldest ones are removed: a damaged order must not hide any of them.
        if range.kind == RangeKind::Oldest {
            let until = if found.len() as u64 == range.limit { last_read } else { i64::MAX };
            if !ThreadSegment::are_whole(self.db, thread_pk, (floor, until), last_segment)? {
                let detail = format!("the order of the thread `{}` is damaged", range.thread.thread);
                return Err(corrupt(detail).into());
            }
        }
        if range.kind == RangeKind::All && !found.is_sorted_by_key(|(_, row)| row.seq) {
            self.rebuild_order_of(&range.thread)?;
            found.sort_by_key(|(_, row)| row.seq);
        }
        Ok(found)
    }
}
