//! Verifies messages and tombstones.

use rusqlite::{OptionalExtension, Row};
use throughline_core::{
    Content, Message, MessageState, Role,
    backend::{Length, Tail},
    messages::ContentChange,
};

use super::{
    Check, Owner, Part,
    chunks::{Chunks, Reached},
    is_damage, text,
    walk::{Gap, Table, Visited},
};
use crate::{
    blob::{BlobFolder, References},
    error::EngineError,
    record::{Columns as _, DELETED, Record, message_columns, number, tombstone_checksum},
};

const MESSAGES: Table = Table {
    name: "messages",
    key: "message_pk",
    part: Part::Message,
    rows: concat!(
        "SELECT 0, ",
        message_columns!(),
        ", t.tenant, t.thread, m.thread_pk, t.floor, m.segment IS (SELECT s.segment FROM thread_segments s \
         WHERE s.thread_pk = m.thread_pk AND s.first_seq <= m.seq ORDER BY s.first_seq DESC LIMIT 1), \
         m.segment FROM messages m LEFT JOIN threads t ON t.thread_pk = m.thread_pk \
         WHERE m.message_pk >= ?1 ORDER BY m.message_pk"
    ),
};

/// The columns of [`MESSAGES`] after those of the message.
const TENANT: usize = 21;
const THREAD_PK: usize = 23;
const FLOOR: usize = 24;
const IS_IN_ORDER: usize = 25;
const SEGMENT: usize = 26;

const UNREADABLE: &str = "its row is on a page that cannot be read";

impl Check<'_> {
    /// Verifies every message with its chunks, and every tombstone.
    pub(super) fn messages(&mut self) -> rusqlite::Result<()> {
        let mut lost = Vec::new();
        self.walk_gaps(&MESSAGES, |check, visited| match visited {
            Visited::Row(row) => check.message(row),
            Visited::Gap(Gap { first: Some(first), last }) => {
                check.counts = false;
                lost.push((first, last));
                check.report_gap(&MESSAGES, Gap { first: Some(first), last });
                Ok(())
            }
            Visited::Gap(Gap { first: None, last: message_pk }) => {
                check.counts = false;
                let owner = check.owner_of(message_pk)?;
                check.report(&owner, Part::Message, UNREADABLE);
                check.chunks.insert(message_pk, Reached::Unknown);
                Ok(())
            }
        })?;
        if lost.is_empty() { Ok(()) } else { self.name_lost(&lost) }
    }

    fn message(&mut self, row: &Row<'_>) -> rusqlite::Result<()> {
        let owner = Owner::read(row, TENANT).with_message(row, 2);
        let state = text(row, 5);
        let chunks = self.chunks_of(row.integer(1).unwrap_or_default(), row.integer(20))?;
        let mut faults = Vec::new();
        if row.is_null(3) || state == Some(DELETED) {
            self.found.deleted += 1;
            *self.deleted.entry(row.integer(THREAD_PK).unwrap_or_default()).or_default() += 1;
            if !is_erased(row) {
                faults.push("a deleted message has more than its id left".to_owned());
            } else if !is_tombstone_of(row, &owner) {
                faults.push("the checksum of its tombstone does not match".to_owned());
            }
        } else {
            self.found.messages += 1;
            match (&owner.tenant, &owner.thread) {
                (Some(tenant), Some(thread)) => match Record::read(row, tenant, thread) {
                    Ok(record) => {
                        let content = self.content_of(&record, &mut faults);
                        self.compare(&record, content.as_ref(), &chunks, &mut faults);
                        if row.integer(IS_IN_ORDER) != Some(1) {
                            faults.push("it is not in the segment of its sequence number".to_owned());
                        }
                        self.count(row, &record.message, content.as_ref());
                    }
                    Err(_) => {
                        self.uncounted.insert(row.integer(THREAD_PK).unwrap_or_default());
                        faults.push("the checksum of its row does not match".to_owned());
                    }
                },
                _ => faults.push(format!(
                    "its thread, of number {}, is missing or damaged",
                    row.integer(THREAD_PK).unwrap_or_default()
                )),
            }
        }
        for fault in faults {
            self.report(&owner, Part::Message, fault);
        }
        for fault in chunks.faults {
            self.report(&owner, Part::Chunks, fault);
        }
        Ok(())
    }

    /// Counts a message for the comparison with the summary of its thread.
    fn count(&mut self, row: &Row<'_>, message: &Message, content: Option<&Content>) {
        let is_shown = row.integer(FLOOR).is_some_and(|floor| number(message.seq.get()) > floor);
        if is_shown && message.state == MessageState::Final {
            let counted = self.counted.entry(row.integer(THREAD_PK).unwrap_or_default()).or_default();
            counted.messages += 1;
            counted.turns += u64::from(message.role == Role::User);
            match content {
                Some(content) => counted.bytes += content.byte_len() as u64,
                None => drop(self.uncounted.insert(row.integer(THREAD_PK).unwrap_or_default())),
            }
        }
    }

    /// Returns the content of the row, or of its blob; `None` if that has a fault.
    fn content_of(&mut self, record: &Record, faults: &mut Vec<String>) -> Option<Content> {
        let blob = record.content.blob().cloned();
        let fault = match record.content.clone().read(self.db) {
            Ok(Ok(content)) => {
                self.found.blobs += u64::from(blob.is_some());
                return Some(content);
            }
            Ok(Err(fault)) => fault.to_string(),
            Err(error) => format!("cannot be read: {}", EngineError::from(error)),
        };
        let name = blob.map(|blob| blob.hash().to_string()).unwrap_or_default();
        faults.push(format!("its blob `{name}` {fault}"));
        None
    }

    /// Lists the blobs that no row names.
    pub(super) fn orphans(&mut self) -> rusqlite::Result<()> {
        let folder = BlobFolder::of(self.db);
        if !folder.exists() {
            return Ok(());
        }
        let mut references = References::of(self.db)?;
        for hash in folder.all() {
            let hash = match hash {
                Ok(hash) => hash,
                Err(source) => {
                    return Err(EngineError::Blob { path: folder.path().to_owned(), source }.into());
                }
            };
            if !references.name(hash)? {
                self.found.orphans.push(folder.path_of(hash));
            }
        }
        Ok(())
    }

    /// Compares a row with a valid checksum with everything else.
    fn compare(&self, record: &Record, content: Option<&Content>, chunks: &Chunks, faults: &mut Vec<String>) {
        let message = &record.message;
        let mut expect = |holds: bool, fault: &str| {
            if !holds {
                faults.push(fault.to_owned());
            }
        };
        expect(message.seq.get() > 0, "its sequence number is not positive");
        if let Some(position) = self.position {
            expect(
                (1..=position).contains(&record.position),
                "its last change is after the position of the store",
            );
        }
        if message.state.is_open() {
            let is_empty = content.is_some_and(|content| content.as_json() == "[]");
            expect(is_empty, "it is open, but its row has content");
            if chunks.faults.is_empty() {
                let is_one = |chunk: bool| chunk == record.last_append.is_some();
                let counted = record.appends == chunks.count && is_one(record.appends > 0);
                expect(counted, "it does not have as many chunks as its row says");
                if let (true, Some(content)) = (counted, &chunks.content) {
                    let whole = ContentChange::Replace(content.clone());
                    let length = Length { bytes: 0, tail: Tail::Nothing }.after(&whole);
                    expect(length == record.length, "its chunks do not add up to the length in its row");
                }
            }
        } else {
            expect(message.lease.is_none(), "it is settled, but it has a lease");
            expect(record.appends == 0 && record.last_append.is_none(), "it is settled, but it has chunks");
            let is_as_long = content.is_none_or(|content| Length::settled(content) == record.length);
            expect(is_as_long, "its content does not have the length in its row");
        }
    }

    /// Returns the owner of a message whose row is damaged.
    pub(super) fn owner_of(&self, message_pk: i64) -> rusqlite::Result<Owner> {
        let found = self
            .db
            .prepare_cached(
                "SELECT t.tenant, t.thread, m.message_id FROM messages m \
                 LEFT JOIN threads t ON t.thread_pk = m.thread_pk WHERE m.message_pk = ?1",
            )?
            .query_row([message_pk], |row| Ok(Owner::read(row, 0).with_message(row, 2)))
            .optional();
        match found {
            Ok(owner) => Ok(owner.unwrap_or_default()),
            Err(error) if is_damage(&error) => Ok(Owner::default()),
            Err(error) => Err(error),
        }
    }

    /// Names the messages whose pages cannot be read, from the index over all ids.
    fn name_lost(&mut self, lost: &[(i64, i64)]) -> rusqlite::Result<()> {
        let mut statement = self.db.prepare(
            "SELECT m.message_pk, t.tenant, t.thread, m.message_id \
             FROM messages m INDEXED BY sqlite_autoindex_messages_1 \
             LEFT JOIN threads t ON t.thread_pk = m.thread_pk",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let message_pk: i64 = row.get(0)?;
            let at = lost.partition_point(|&(_, last)| last < message_pk);
            if lost.get(at).is_some_and(|&(first, _)| first <= message_pk) {
                let owner = Owner::read(row, 1).with_message(row, 3);
                self.report(&owner, Part::Message, UNREADABLE);
            }
        }
        Ok(())
    }
}

/// Returns whether a tombstone holds nothing of its message except the id and the last revision.
fn is_erased(row: &Row<'_>) -> bool {
    text(row, 5) == Some(DELETED)
        && [3, 9, 10, 16, 17, 20].into_iter().all(|column| row.is_null(column))
        && [7, 8, 11, 12, 19, SEGMENT].into_iter().all(|column| row.integer(column) == Some(0))
        && text(row, 4) == Some("user")
        && row.integer(6).is_some_and(|revision| revision > 0)
        && text(row, 15) == Some("{}")
        && text(row, 18) == Some("[]")
}

/// Returns whether a tombstone belongs to this message and to the change that it names.
fn is_tombstone_of(row: &Row<'_>, owner: &Owner) -> bool {
    let of = || {
        let (tenant, thread) = (owner.tenant.as_ref()?, owner.thread.as_ref()?);
        let names = [tenant.as_str(), thread.as_str(), text(row, 2)?];
        Some(tombstone_checksum(&names, row.integer(6)?, row.integer(13)?))
    };
    of().is_some_and(|checksum| row.integer(14) == Some(checksum))
}
