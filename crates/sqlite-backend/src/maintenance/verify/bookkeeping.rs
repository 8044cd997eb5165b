//! Verifies threads, with their sequence numbers and counters, change events, and idempotency keys.

use rusqlite::Row;
use throughline_core::{
    backend::{Replay, ThreadStats},
    changes::ChangeKind,
};

use super::{Check, Counted, Owner, Part, text, walk::Table};
use crate::{
    record::{
        ChangeRow, Columns as _, EntryRow, HEAD_COLUMNS, Head, ThreadSegment, change_columns, entry_columns,
        head_columns, messages_behind,
    },
    rows::key_checksum,
};

const THREADS: Table = Table {
    name: "threads",
    key: "thread_pk",
    part: Part::Thread,
    rows: concat!(
        "SELECT 0, t.thread_pk, t.tenant, t.thread, ",
        head_columns!(),
        ", (SELECT count(*) FROM ",
        messages_behind!("t.thread_pk", "0"),
        "), (SELECT coalesce(max(m.seq), 0) FROM ",
        messages_behind!("t.thread_pk", "0"),
        "), c.thread_pk, ",
        entry_columns!(),
        " FROM threads t LEFT JOIN catalog c ON c.thread_pk = t.thread_pk \
         WHERE t.thread_pk >= ?1 ORDER BY t.thread_pk"
    ),
};
/// The columns of [`THREADS`].
const HEAD: usize = 4;
const LIVE: usize = HEAD + HEAD_COLUMNS;
const LAST_LIVE: usize = LIVE + 1;
const HAS_ENTRY: usize = LAST_LIVE + 1;
const ENTRY: usize = HAS_ENTRY + 1;

const CHANGES: Table = Table {
    name: "changes",
    key: "position",
    part: Part::Change,
    rows: concat!(
        "SELECT 0, f.position, t.tenant, t.thread, ",
        change_columns!(),
        " FROM changes f LEFT JOIN threads t ON t.thread_pk = f.thread_pk \
         WHERE f.position >= ?1 ORDER BY f.position"
    ),
};
/// The first column of a change in [`CHANGES`].
const CHANGE: usize = 4;

const KEYS: Table = Table {
    name: "idempotency",
    key: "record_pk",
    part: Part::Key,
    rows: "SELECT 0, i.record_pk, t.tenant, t.thread, i.key, i.checksum, i.fingerprint, i.replay, i.created_at \
           FROM idempotency i LEFT JOIN threads t ON t.thread_pk = i.thread_pk \
           WHERE i.record_pk >= ?1 ORDER BY i.record_pk",
};

impl Check<'_> {
    /// Verifies every thread. The thread uses each sequence number exactly once, so each up to the last one belongs to
    /// a message or to a deleted one. In a thread that reuses ids, the next message of an id has replaced the tombstone of the
    /// deleted one. A deleted thread no longer says whether it reused ids.
    pub(super) fn threads(&mut self) -> rusqlite::Result<()> {
        self.walk(&THREADS, Self::thread)
    }

    fn thread(&mut self, row: &Row<'_>) {
        self.found.threads += 1;
        let owner = Owner::read(row, 2);
        let (Some(tenant), Some(thread)) = (&owner.tenant, &owner.thread) else {
            self.report(&owner, Part::Thread, "the name of a thread is damaged");
            return;
        };
        let Some((thread_pk, head)) = Head::read(row, HEAD, tenant.as_str(), thread.as_str()) else {
            self.report(&owner, Part::Thread, "the checksum of its row does not match");
            return;
        };
        let number = |column| row.integer(column).unwrap_or(-1);
        let (live, last_live) = (number(LIVE), number(LAST_LIVE));
        let deleted = self.deleted.get(&thread_pk).copied().unwrap_or_default();
        let last = head.deleted_seq.max(last_live);
        let entry = EntryRow::read(row, ENTRY, tenant.as_str(), thread.as_str());
        let has_all_tombstones = !head.deleted && entry.as_ref().is_none_or(|entry| !entry.facts.reuses_ids);
        if head.deleted_seq < 0 || has_all_tombstones && head.deleted_seq > 0 && deleted == 0 {
            let description = format!(
                "the last sequence number of its deleted messages is {}, and it has {deleted} of them",
                head.deleted_seq
            );
            self.report(&owner, Part::Thread, description);
        }
        if live + deleted > last || has_all_tombstones && live + deleted < last {
            let description = format!(
                "its last sequence number is {last}, and it has {live} messages and {deleted} deleted ones"
            );
            self.report(&owner, Part::Thread, description);
        }
        let is_found = ThreadSegment::are_whole(self.db, thread_pk, (0, i64::MAX), head.last_segment);
        let is_found = is_found.unwrap_or(false);
        if !is_found {
            self.report(&owner, Part::Thread, "the segments of its messages are damaged");
        }
        if head.floor > last || head.purgeable && head.floor == 0 {
            self.report(&owner, Part::Thread, "it was cleared beyond its last sequence number");
        }
        match (head.deleted, row.is_null(HAS_ENTRY)) {
            (true, true) => {}
            (true, false) => self.report(&owner, Part::Summary, "it was deleted, but it still has a summary"),
            (false, true) => self.report(&owner, Part::Summary, "its summary is missing"),
            (false, false) => match entry {
                Some(EntryRow { facts, last_seq }) => {
                    if last_seq != last && is_found {
                        let description = format!(
                            "its summary says that its last sequence number is {last_seq}, and that is {last}"
                        );
                        self.report(&owner, Part::Summary, description);
                    }
                    self.entry(&owner, thread_pk, &facts);
                }
                None => {
                    self.report(&owner, Part::Summary, "the checksum of its summary does not match");
                }
            },
        }
    }

    /// Compares a thread summary with a valid checksum with the messages.
    fn entry(&mut self, owner: &Owner, thread_pk: i64, entry: &ThreadStats) {
        let counters = &entry.counters;
        let counted = self.counted.get(&thread_pk).copied().unwrap_or_default();
        let stored = Counted { messages: counters.messages, turns: counters.turns, bytes: counters.bytes };
        if self.counts && !self.uncounted.contains(&thread_pk) && stored != counted {
            let description = format!("its summary counts {stored}, and it has {counted}");
            self.report(owner, Part::Summary, description);
        }
        let labels: rusqlite::Result<Vec<(String, String)>> = self
            .db
            .prepare_cached("SELECT name, value FROM labels WHERE thread_pk = ?1 ORDER BY name")
            .and_then(|mut labels| {
                labels.query_map([thread_pk], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
            });
        let owned = entry.owner.iter().map(|owner| (String::new(), owner.to_string()));
        let labelled = entry.labels.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        let is_found = labels.is_ok_and(|found| owned.chain(labelled).eq(found));
        if !is_found {
            self.report(owner, Part::Summary, "the label rows differ from the labels of its summary");
        }
    }

    /// Verifies every change event.
    pub(super) fn changes(&mut self) -> rusqlite::Result<()> {
        self.walk(&CHANGES, |check, row| {
            check.found.changes += 1;
            let position = row.integer(1).unwrap_or_default();
            let is_ahead = check.position.is_some_and(|last| position > last);
            let is_readable = ChangeRow::read(row, CHANGE)
                .is_some_and(|change| !matches!(change.kind(), ChangeKind::Unreadable { .. }));
            if !is_readable || is_ahead || row.is_null(2) {
                let description = format!("the change at position {position} is damaged");
                check.report(&Owner::read(row, 2), Part::Change, description);
            }
        })
    }

    /// Verifies every idempotency key.
    pub(super) fn keys(&mut self) -> rusqlite::Result<()> {
        self.walk(&KEYS, |check, row| {
            check.found.keys += 1;
            if !is_whole(row) {
                let key = text(row, 4).unwrap_or("?");
                let description = format!("the record of the key `{key}` is damaged");
                check.report(&Owner::read(row, 2), Part::Key, description);
            }
        })
    }
}

/// Returns whether the checksum of a key matches.
fn is_whole(row: &Row<'_>) -> bool {
    let whole = || {
        let (fingerprint, replay) = (row.text(6)?, row.text(7)?);
        let owner = (text(row, 2)?, text(row, 3)?, text(row, 4)?);
        let sum = key_checksum(owner, row.integer(8)?, fingerprint, replay);
        let is_read = fingerprint.len() == 32 && serde_json::from_slice::<Replay>(replay).is_ok();
        Some(is_read && sum == row.integer(5)?)
    };
    whole().unwrap_or(false)
}
