//! Verifies the chunks of open messages.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension, params};
use throughline_core::Content;

use super::{Check, Owner, Part, is_damage, walk::Table};
use crate::{
    obsolete_chunks,
    record::{Columns as _, Growth, StoredChunk},
    rows::CHUNKS,
};

const APPENDS: Table = Table {
    name: "appends",
    key: "append_pk",
    part: Part::Chunks,
    rows: "SELECT 0, append_pk, message_pk FROM appends WHERE append_pk >= ?1 ORDER BY append_pk",
};

/// The chunks of a message.
pub(super) struct Chunks {
    pub(super) count: i64,
    /// The content that they add up to, if all are sound.
    pub(super) content: Option<Content>,
    pub(super) faults: Vec<String>,
}

/// The number of chunks that are reachable from the row of a message.
pub(super) enum Reached {
    /// The number of reachable chunks that the scan of the table has not met yet.
    Chunks(i64),
    /// Unknown because of damage, or because the message has ended and the writer has begun to delete them.
    Unknown,
}

impl Check<'_> {
    /// Reads the chunks of a message from its last one on. Each has a checksum of its own, and refers to the previous
    /// one.
    pub(super) fn chunks_of(
        &mut self,
        message_pk: i64,
        last_append: Option<i64>,
    ) -> rusqlite::Result<Chunks> {
        let (mut count, mut growth, mut faults) = (0_i64, Some(Growth::new()), Vec::new());
        let mut read = || -> rusqlite::Result<()> {
            let mut statement = self.db.prepare_cached(CHUNKS)?;
            let mut rows = statement.query(params![message_pk, last_append])?;
            let mut before = None;
            while let Some(row) = rows.next()? {
                count += 1;
                let n = row.integer(2).unwrap_or_default();
                let is_next = row.integer(7) == before;
                before = row.integer(6);
                let chunk = StoredChunk::read(row);
                if chunk.is_none() {
                    faults.push(format!("the checksum of its chunk {n} does not match"));
                    growth = None;
                } else if let Some(grown) = &mut growth
                    && (grown.take(chunk).is_none() || !is_next)
                {
                    faults.push(format!("its chunk {n} does not continue the previous ones"));
                    growth = None;
                }
            }
            Ok(())
        };
        let reached = match read() {
            Err(error) if !is_damage(&error) => return Err(error),
            Err(_) => {
                faults.push("its chunks cannot be read".to_owned());
                Reached::Unknown
            }
            Ok(()) => Reached::Chunks(count),
        };
        if !matches!(reached, Reached::Chunks(0)) {
            self.chunks.insert(message_pk, reached);
        }
        Ok(Chunks { count, content: growth.as_ref().map(Growth::content), faults })
    }

    /// Verifies that every message with obsolete chunks has ended.
    pub(super) fn obsolete_chunks(&mut self) -> rusqlite::Result<()> {
        for (message_pk, appends) in obsolete_chunks::messages(self.db)? {
            if appends == Some(0) {
                self.chunks.insert(message_pk, Reached::Unknown);
                continue;
            }
            let (owner, fault) = match appends {
                Some(_) => (self.owner_of(message_pk)?, "is open"),
                None => (Owner::default(), "is missing"),
            };
            let description =
                format!("the chunks of message number {message_pk}, which {fault}, are obsolete");
            self.report(&owner, Part::Chunks, description);
        }
        Ok(())
    }

    /// Scans all chunks, and counts those that are not reachable from the row of a message.
    pub(super) fn stray_chunks(&mut self) -> rusqlite::Result<()> {
        let mut stray = BTreeMap::<i64, u64>::new();
        self.walk(&APPENDS, |check, row| {
            check.found.chunks += 1;
            let message_pk = row.integer(2).unwrap_or_default();
            match check.chunks.get_mut(&message_pk) {
                Some(Reached::Chunks(left @ 1..)) => *left -= 1,
                Some(Reached::Unknown) => {}
                Some(Reached::Chunks(_)) | None => *stray.entry(message_pk).or_default() += 1,
            }
        })?;
        for (message_pk, count) in stray {
            self.stray(message_pk, count)?;
        }
        Ok(())
    }

    fn stray(&mut self, message_pk: i64, count: u64) -> rusqlite::Result<()> {
        let found = self
            .db
            .prepare_cached("SELECT 1 FROM messages WHERE message_pk = ?1")?
            .query_row([message_pk], |_| Ok(()))
            .optional();
        match found {
            Ok(Some(())) => {
                let owner = self.owner_of(message_pk)?;
                self.report(
                    &owner,
                    Part::Chunks,
                    format!("{count} chunks of it are not reachable from its row"),
                );
            }
            Ok(None) => {
                let description = format!("{count} chunks of message number {message_pk}, which is missing");
                self.report(&Owner::default(), Part::Chunks, description);
            }
            // The page of the message cannot be read, and is already in the result.
            Err(error) if is_damage(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
