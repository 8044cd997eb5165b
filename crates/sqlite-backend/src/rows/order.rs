//! The order of the messages of a thread: their segments in the order index.

use throughline_engine::rows::ThreadKey;

use super::{Source, thread::StoredThread};
use crate::{failure::Applied, record::ThreadSegment};

impl StoredThread {
    /// Returns the segment of a message that is added after all others, at this position.
    pub(super) fn append_to_order(
        &mut self,
        db: &rusqlite::Connection,
        (before, seq): (i64, i64),
        segment_at: i64,
    ) -> rusqlite::Result<i64> {
        let segment = self.segment.unwrap_or_default().max(segment_at);
        if self.segment != Some(segment) {
            let previous = self.last_segment;
            ThreadSegment { first_seq: seq, segment, previous }.insert(db, self.thread_pk)?;
            (self.last_segment, self.segment) = (seq, Some(segment));
            // Its messages may have been removed while it was the last one.
            ThreadSegment::forget_empty(db, self.thread_pk, (before, before))?;
        }
        Ok(segment)
    }

    /// Returns the segment of a message with any sequence number.
    pub(super) fn insert_into_order(
        &mut self,
        db: &rusqlite::Connection,
        seq: i64,
        segment_at: i64,
    ) -> rusqlite::Result<i64> {
        let (segment, last) = ThreadSegment::of(db, self.thread_pk, seq, segment_at)?;
        if let Some(last) = last {
            (self.last_segment, self.segment) = (last, Some(segment));
        }
        Ok(segment)
    }
}

impl Source<'_> {
    /// Rebuilds the order of a thread if its segments are damaged. Returns whether they were.
    pub(super) fn repair_order_of(&mut self, key: &ThreadKey) -> Applied<bool> {
        let db = self.db;
        let Some(thread) = self.stored_thread(key)? else { return Ok(false) };
        if ThreadSegment::are_whole(db, thread.thread_pk, (0, i64::MAX), thread.head.last_segment)? {
            return Ok(false);
        }
        self.rebuild_order_of(key)
    }

    /// Rebuilds the order of a thread from all messages of the store.
    pub(super) fn rebuild_order_of(&mut self, key: &ThreadKey) -> Applied<bool> {
        let db = self.db;
        let Some(thread) = self.stored_thread(key)? else { return Ok(false) };
        thread.head.last_segment = ThreadSegment::repair(db, thread.thread_pk)?;
        thread.head.update(db, thread.thread_pk, key.tenant.as_str(), key.thread.as_str())?;
        self.threads.forget(key);
        Ok(true)
    }
}
