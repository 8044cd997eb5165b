//! Messages, and what was written to the open ones.

use rusqlite::{OptionalExtension, Row};
use throughline_core::{Content, ContentChange};

use super::{
    Check, Owner, Part, is_damage, text,
    walk::{Met, Table},
};
use crate::record::{
    Append, AppendKind, Columns as _, DELETED, Growth, Length, Record, Tail, message_columns,
};

const MESSAGES: Table = Table {
    name: "messages",
    rows: concat!(
        "SELECT 0, ",
        message_columns!(),
        ", t.tenant, t.thread, m.thread_pk FROM messages m LEFT JOIN threads t ON t.thread_pk = m.thread_pk \
         WHERE m.message_pk >= ?1 ORDER BY m.message_pk"
    ),
    next: "SELECT message_pk FROM messages WHERE message_pk >= ?1 ORDER BY message_pk LIMIT 1",
};

/// The columns of [`MESSAGES`] behind those of the message.
const TENANT: usize = 20;
const THREAD_PK: usize = 22;

/// The messages that pieces are kept for.
const WRITTEN: Table = Table {
    name: "appends",
    rows: "SELECT DISTINCT 0, message_pk FROM appends WHERE message_pk >= ?1 ORDER BY message_pk",
    next: "SELECT message_pk FROM appends WHERE message_pk >= ?1 ORDER BY message_pk LIMIT 1",
};

const UNREADABLE: &str = "its row stands on a page that cannot be read";

/// What is kept of a message piece by piece.
struct Pieces {
    count: i64,
    /// What they come to, if they are whole.
    content: Option<Content>,
    faults: Vec<String>,
}

impl Check<'_> {
    /// Every message, with its pieces, and what deleted ones have left.
    pub(super) fn messages(&mut self) -> rusqlite::Result<()> {
        let mut lost = Vec::new();
        self.walk(&MESSAGES, |check, met| match met {
            Met::Row(row) => check.message(row),
            Met::Unreadable(message_pk) => {
                let owner = check.owner_of(message_pk)?;
                check.report(&owner, Part::Message, UNREADABLE);
                check.lone_pieces(message_pk, &owner)
            }
            Met::Lost(first, last) => {
                lost.push((first, last));
                check.lost(&MESSAGES, first, last);
                Ok(())
            }
        })?;
        if lost.is_empty() { Ok(()) } else { self.name_lost(&lost) }
    }

    fn message(&mut self, row: &Row<'_>) -> rusqlite::Result<()> {
        let owner = Owner::read(row, TENANT).with_message(row, 2);
        let state = text(row, 5);
        let pieces = self.pieces(row.integer(1).unwrap_or_default())?;
        let mut faults = Vec::new();
        if row.is_null(3) || state == Some(DELETED) {
            self.found.deleted += 1;
            *self.deleted.entry(row.integer(THREAD_PK).unwrap_or_default()).or_default() += 1;
            if !is_erased(row) {
                faults.push("a deleted message has left more than its id".to_owned());
            }
            if pieces.count > 0 {
                faults.push(format!("{} pieces of a deleted message are left", pieces.count));
            }
        } else {
            self.found.messages += 1;
            match (&owner.tenant, &owner.thread) {
                (Some(tenant), Some(thread)) => match Record::read(row, tenant, thread) {
                    Ok(record) => self.agree(&record, &pieces, &mut faults),
                    Err(_) => {
                        faults.push("its row is not what its checksum was made for".to_owned());
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
        for fault in pieces.faults {
            self.report(&owner, Part::Pieces, fault);
        }
        Ok(())
    }

    /// What a row says that is as it was written, against everything else.
    fn agree(&self, record: &Record, pieces: &Pieces, faults: &mut Vec<String>) {
        let message = &record.message;
        let mut expect = |holds: bool, fault: &str| {
            if !holds {
                faults.push(fault.to_owned());
            }
        };
        expect(message.seq.get() > 0, "its place is before the first one");
        if let Some(position) = self.position {
            expect((1..=position).contains(&record.position), "it was changed later than the store");
        }
        if message.state.is_open() {
            expect(message.content.as_json() == "[]", "it is open, and its row has content");
            if pieces.faults.is_empty() {
                let counted = record.appends == pieces.count;
                expect(counted, "it has not as many pieces as it says");
                if let (true, Some(content)) = (counted, &pieces.content) {
                    let whole = ContentChange::Replace(content.clone());
                    let length = Length { bytes: 0, tail: Tail::Nothing }.after(&whole);
                    expect(length == record.length, "its pieces do not come to the length that it says");
                }
            }
        } else {
            expect(message.lease.is_none(), "it is settled, and has a lease");
            expect(record.appends == 0 && pieces.count == 0, "it is settled, and has pieces");
            let length = Length::settled(&message.content);
            expect(length == record.length, "its content does not have the length that it says");
        }
    }

    /// Reads the pieces of a message, each of which has a checksum of its own.
    fn pieces(&mut self, message_pk: i64) -> rusqlite::Result<Pieces> {
        let (mut count, mut growth, mut faults) = (0_i64, Some(Growth::new()), Vec::new());
        let mut read = || -> rusqlite::Result<()> {
            let mut statement = self.db.prepare_cached(
                "SELECT 1, message_pk, n, kind, checksum, delta FROM appends WHERE message_pk = ?1 ORDER BY n",
            )?;
            let mut rows = statement.query([message_pk])?;
            while let Some(row) = rows.next()? {
                count += 1;
                let n = row.integer(2).unwrap_or_default();
                if !is_whole(row) {
                    faults.push(format!("piece {n} of it is not what its checksum was made for"));
                    growth = None;
                } else if let Some(grown) = &mut growth
                    && grown.take(row).is_none()
                {
                    faults.push(format!("piece {n} of it does not continue those before"));
                    growth = None;
                }
            }
            Ok(())
        };
        match read() {
            Err(error) if !is_damage(&error) => return Err(error),
            Err(_) => faults.push(format!("its pieces after {count} cannot be read")),
            Ok(()) => {}
        }
        self.found.pieces += count.unsigned_abs();
        Ok(Pieces { count, content: growth.map(Growth::content), faults })
    }

    /// The pieces of a message whose row does not say what they should be.
    fn lone_pieces(&mut self, message_pk: i64, owner: &Owner) -> rusqlite::Result<()> {
        for fault in self.pieces(message_pk)?.faults {
            self.report(owner, Part::Pieces, fault);
        }
        Ok(())
    }

    /// Pieces without a message that can be read.
    pub(super) fn stray_pieces(&mut self) -> rusqlite::Result<()> {
        self.walk(&WRITTEN, |check, met| match met {
            Met::Row(row) => {
                let message_pk = row.integer(1).unwrap_or_default();
                let found = check
                    .db
                    .prepare_cached("SELECT 1 FROM messages WHERE message_pk = ?1")?
                    .query_row([message_pk], |_| Ok(()))
                    .optional();
                match found {
                    // Checked with its message.
                    Ok(Some(())) => Ok(()),
                    Ok(None) => {
                        let pieces = check.pieces(message_pk)?;
                        let what = format!(
                            "{} pieces of message number {message_pk}, which is missing",
                            pieces.count
                        );
                        check.report(&Owner::default(), Part::Pieces, what);
                        Ok(())
                    }
                    Err(error) if is_damage(&error) => check.lone_pieces(message_pk, &Owner::default()),
                    Err(error) => Err(error),
                }
            }
            Met::Unreadable(message_pk) => {
                let what = format!("the pieces of message number {message_pk} cannot be read");
                check.report(&Owner::default(), Part::Pieces, what);
                Ok(())
            }
            Met::Lost(first, last) => {
                check.lost(&WRITTEN, first, last);
                Ok(())
            }
        })
    }

    pub(super) fn lost(&mut self, table: &Table, first: i64, last: i64) {
        let (first, name) = (first.max(0), table.name);
        let what = if last == i64::MAX {
            format!("the rows of `{name}` from number {first} on cannot be read")
        } else {
            format!("the rows of `{name}` from number {first} to {last} cannot be read")
        };
        self.report(&Owner::default(), Part::File, what);
    }

    /// Whose a message is that cannot be read as a whole.
    fn owner_of(&self, message_pk: i64) -> rusqlite::Result<Owner> {
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

    /// Names the messages whose pages are lost, from the index that knows every id.
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

/// Whether a piece is as its checksum says: message, number, kind, checksum and text from column `1` on.
fn is_whole(row: &Row<'_>) -> bool {
    let whole = || {
        let (message_pk, n, kind) = (row.integer(1)?, row.integer(2)?, row.integer(3)?);
        let kind = [AppendKind::Text, AppendKind::Blocks, AppendKind::Base]
            .into_iter()
            .find(|known| known.code() == kind)?;
        let piece = Append { kind, delta: text(row, 5)? };
        Some(piece.checksum(message_pk, n) == row.integer(4)?)
    };
    whole().unwrap_or(false)
}

/// Whether a row has nothing of its message any more: it has no checksum, for there is nothing to guard.
fn is_erased(row: &Row<'_>) -> bool {
    text(row, 5) == Some(DELETED)
        && [3, 9, 10, 16, 17].into_iter().all(|column| row.is_null(column))
        && [7, 8, 14, 19].into_iter().all(|column| row.integer(column) == Some(0))
        && text(row, 15) == Some("{}")
        && text(row, 18) == Some("[]")
}
