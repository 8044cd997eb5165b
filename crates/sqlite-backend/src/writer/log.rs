//! Keeping the log of the file short.
//!
//! By itself SQLite folds what it can into the file within a commit that leaves more than a thousand pages in the log, and
//! its callers wait for that. Here they have their answers first. Folding does not shorten the log: it is written from its
//! beginning again once nobody reads what is in it. So it is also folded when nobody writes, and cut when it has become
//! long and nobody reads.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rusqlite::Connection;

use crate::{
    connection,
    failpoint::{Failpoint, Failpoints},
    health::{Alarm, Board},
};

/// So many pages more in the log, and it is folded.
const PAGES: u32 = 1000;

/// How long nobody must have written before the log is folded.
const IDLE: Duration = Duration::from_millis(100);

/// How often a log that is too long is tried to be cut.
const AGAIN: Duration = Duration::from_secs(1);

/// For how long it cannot be cut before that is an alarm: readers who come and go are in the way for moments.
const LONG: Duration = Duration::from_secs(3);

/// The log of one file.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    limit: u64,
    /// Bytes of writes since it was measured.
    written: u64,
    measured: Option<Instant>,
    /// When something was last committed.
    grew_at: Instant,
    is_folded: bool,
    /// The length in pages at which it is folded next.
    fold_at: u32,
    too_long_since: Option<Instant>,
}

impl Log {
    pub(super) fn new(path: &Path, limit: u64) -> Self {
        Self {
            path: path_of(path),
            limit,
            written: 0,
            measured: None,
            grew_at: Instant::now(),
            is_folded: true,
            fold_at: PAGES,
            too_long_since: None,
        }
    }

    /// How long the writer waits for a write before [`is_idle`](Self::is_idle) is to be called.
    pub(super) fn patience(&self) -> Option<Duration> {
        if !self.is_folded {
            Some(IDLE)
        } else if self.too_long_since.is_some() {
            Some(AGAIN)
        } else {
            None
        }
    }

    /// Something was committed, in which the log may have become long enough to be folded, or too long.
    pub(super) fn grew(
        &mut self,
        connection: &Connection,
        bytes: usize,
        board: &Board,
        failpoints: &Failpoints,
    ) -> rusqlite::Result<()> {
        (self.is_folded, self.grew_at) = (false, Instant::now());
        let pages = connection::pages_in_log();
        if pages < PAGES {
            // It was begun again.
            self.fold_at = PAGES;
        } else if pages >= self.fold_at {
            // What a reader holds up stays for the next time; to try it at every commit would sync the file each time.
            self.fold_at = pages + PAGES;
            failpoints.reach(Failpoint::Checkpointing, connection)?;
            fold(connection, "PRAGMA wal_checkpoint(PASSIVE)")?;
        }
        self.written += bytes as u64;
        if self.written >= self.limit / 16 || self.is_due() {
            self.measure(connection, board, failpoints)?;
        }
        Ok(())
    }

    /// Nobody writes: what the log holds goes into the file.
    pub(super) fn is_idle(
        &mut self,
        connection: &Connection,
        board: &Board,
        failpoints: &Failpoints,
    ) -> rusqlite::Result<()> {
        if !self.is_folded {
            if self.grew_at.elapsed() < IDLE {
                // It was looked up for something else.
                return Ok(());
            }
            self.is_folded = true;
            failpoints.reach(Failpoint::Checkpointing, connection)?;
            // As far as it goes without waiting for a reader or another writer.
            fold(connection, "PRAGMA wal_checkpoint(PASSIVE)")?;
        } else if !self.is_due() {
            return Ok(());
        }
        self.measure(connection, board, failpoints)
    }

    fn is_due(&self) -> bool {
        self.measured.is_none_or(|measured| measured.elapsed() >= AGAIN)
    }

    fn measure(
        &mut self,
        connection: &Connection,
        board: &Board,
        failpoints: &Failpoints,
    ) -> rusqlite::Result<()> {
        (self.written, self.measured) = (0, Some(Instant::now()));
        let is_long = || length(&self.path) > self.limit;
        let is_too_long = is_long() && {
            failpoints.reach(Failpoint::Checkpointing, connection)?;
            fold(connection, "PRAGMA wal_checkpoint(TRUNCATE)")?;
            is_long()
        };
        if is_too_long {
            let since = *self.too_long_since.get_or_insert_with(Instant::now);
            board.set_alarm(Alarm::LogTooLong, since.elapsed() >= LONG);
        } else {
            self.too_long_since = None;
            board.set_alarm(Alarm::LogTooLong, false);
        }
        Ok(())
    }
}

/// Where the log of a file is.
pub(crate) fn path_of(path: &Path) -> PathBuf {
    beside(path, "-wal")
}

/// Where SQLite keeps something beside a file.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// How long a log is; one that is not there has no length.
pub(crate) fn length(log: &Path) -> u64 {
    // Asked of the directory: to open and close the file would drop the locks of SQLite.
    fs::metadata(log).map_or(0, |metadata| metadata.len())
}

/// Folds the log; that others are at work, and that some of it stays for later, is no fault.
pub(super) fn fold(connection: &Connection, how: &'static str) -> rusqlite::Result<()> {
    match connection.prepare_cached(how)?.query_row([], |_| Ok(())) {
        Err(error) if error.sqlite_error_code() != Some(rusqlite::ErrorCode::DatabaseBusy) => Err(error),
        _ => Ok(()),
    }
}
