//! Threads, whose places have to add up, and idempotency keys.

use rusqlite::Row;
use throughline_core::backend::Replay;

use super::{
    Check, Owner, Part, text,
    walk::{Met, Table},
};
use crate::{apply::key_checksum, record::Columns as _};

const THREADS: Table = Table {
    name: "threads",
    rows: "SELECT 0, t.thread_pk, t.tenant, t.thread, t.deleted_seq, \
           (SELECT count(*) FROM messages m INDEXED BY messages_in_order \
            WHERE m.thread_pk = t.thread_pk AND m.seq IS NOT NULL), \
           (SELECT coalesce(max(m.seq), 0) FROM messages m INDEXED BY messages_in_order \
            WHERE m.thread_pk = t.thread_pk AND m.seq IS NOT NULL) \
           FROM threads t WHERE t.thread_pk >= ?1 ORDER BY t.thread_pk",
    next: "SELECT thread_pk FROM threads WHERE thread_pk >= ?1 ORDER BY thread_pk LIMIT 1",
};

const KEYS: Table = Table {
    name: "idempotency",
    rows: "SELECT 0, i.record_pk, t.tenant, t.thread, i.key, i.checksum, i.fingerprint, i.replay \
           FROM idempotency i LEFT JOIN threads t ON t.thread_pk = i.thread_pk \
           WHERE i.record_pk >= ?1 ORDER BY i.record_pk",
    next: "SELECT record_pk FROM idempotency WHERE record_pk >= ?1 ORDER BY record_pk LIMIT 1",
};

impl Check<'_> {
    /// Every thread. No place is given twice and none is left out, so each up to the last one is that of a message or
    /// was that of a deleted one.
    pub(super) fn threads(&mut self) -> rusqlite::Result<()> {
        self.walk(&THREADS, |check, met| {
            match met {
                Met::Row(row) => check.thread(row),
                Met::Unreadable(number) => {
                    let what = format!("thread number {number} or the index of its messages cannot be read");
                    check.report(&Owner::default(), Part::Thread, what);
                }
                Met::Lost(first, last) => check.lost(&THREADS, first, last),
            }
            Ok(())
        })
    }

    fn thread(&mut self, row: &Row<'_>) {
        self.found.threads += 1;
        let owner = Owner::read(row, 2);
        if owner.tenant.is_none() || owner.thread.is_none() {
            self.report(&owner, Part::Thread, "the name of a thread is damaged");
        }
        let number = |column| row.integer(column).unwrap_or(-1);
        let (deleted_seq, live, last_live) = (number(4), number(5), number(6));
        let deleted = self.deleted.get(&number(1)).copied().unwrap_or_default();
        let last = deleted_seq.max(last_live);
        if deleted_seq < 0 || deleted_seq > 0 && deleted == 0 {
            let what =
                format!("the last place of its deleted messages is {deleted_seq}, and it has {deleted}");
            self.report(&owner, Part::Thread, what);
        }
        if live + deleted != last {
            let what =
                format!("its last place is {last}, and it has {live} messages and {deleted} deleted ones");
            self.report(&owner, Part::Thread, what);
        }
    }

    /// Every idempotency key.
    pub(super) fn keys(&mut self) -> rusqlite::Result<()> {
        self.walk(&KEYS, |check, met| {
            match met {
                Met::Row(row) => {
                    check.found.keys += 1;
                    if !is_whole(row) {
                        let key = text(row, 4).unwrap_or("?");
                        let what = format!("what is kept under the key `{key}` is damaged");
                        check.report(&Owner::read(row, 2), Part::Key, what);
                    }
                }
                Met::Unreadable(number) => {
                    let what = format!("key number {number} cannot be read");
                    check.report(&Owner::default(), Part::Key, what);
                }
                Met::Lost(first, last) => check.lost(&KEYS, first, last),
            }
            Ok(())
        })
    }
}

/// Whether a key is as its checksum says.
fn is_whole(row: &Row<'_>) -> bool {
    let whole = || {
        let (fingerprint, replay) = (row.text(6)?, row.text(7)?);
        let sum = key_checksum(text(row, 2)?, text(row, 3)?, text(row, 4)?, fingerprint, replay);
        let is_read = fingerprint.len() == 32 && serde_json::from_slice::<Replay>(replay).is_ok();
        Some(is_read && sum == row.integer(5)?)
    };
    whole().unwrap_or(false)
}
