//! Maps the codes of SQLite and of the operating system to the errors of a call.

use std::{
    io,
    path::{Path, PathBuf},
};

use rusqlite::ffi;
use throughline_core::{BoxError, Effect, ErrorKind, PersistError};

use crate::cause::Cause;

/// The reason why SQLite did not complete a request.
#[derive(Debug, thiserror::Error)]
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "found out on Linux alone"))]
pub(crate) enum EngineError {
    #[error("{text} (SQLite code {code})")]
    Sqlite { code: i32, text: &'static str, source: BoxError },
    #[error("{cause} (SQLite code {code})")]
    Caused { code: i32, cause: Cause },
    #[error("no reader became free in time")]
    NoReader,
    #[error("the read was interrupted at its deadline")]
    ReadTimedOut,
    #[error("the readers are closed")]
    ReadersClosed,
    #[error("the reader was lost")]
    ReaderLost,
    #[error("SQLite rolled the transaction back by itself")]
    RolledBack,
    #[error("the file or its WAL was moved or deleted while it was open")]
    Elsewhere,
    #[error(
        "a connection of this process has the file open with a `-wal` or `-shm` that was removed: close it and open the store \
         again"
    )]
    Removed,
    #[error("begin failed: another writer took the write lock first; try again")]
    Overtaken,
    #[error("begin failed: another writer committed first; try again")]
    Outdated,
    #[error(
        "a second SQLite library in this process has the file open, and does not see the locks of this one: close its \
         connections, or read through the store"
    )]
    SecondLibrary,
    #[error(
        "the WAL {fault} while it was open, and writes that were acknowledged may be lost: close the store \
         and open it again, or restore a backup"
    )]
    WalReplaced { fault: &'static str },
    #[error(
        "the file was truncated while it was open, and writes that were acknowledged are lost: close the store and \
         restore a backup"
    )]
    FileTruncated,
    #[error(
        "SQLite could not take or release a lock of the file: its connections were closed, and are opened again"
    )]
    LockStuck,
    #[error("the file cannot be locked: {source}")]
    Lock { source: io::Error },
    #[error("the file cannot be examined: {source}")]
    File { source: io::Error },
    #[error("the blob `{}` cannot be read or written: {source}", path.display())]
    Blob { path: PathBuf, source: io::Error },
    #[error("another process changed the file during each attempt to read it")]
    Changing,
    #[error("{subject} is damaged")]
    Damaged { subject: &'static str },
    #[error("{0}")]
    Refused(PersistError),
    #[error("the driver failed")]
    Driver { source: BoxError },
}

/// Returns the error kind for a file that the operating system refuses. A missing permission counts as passing: it can
/// be granted again, or the disk mounted again.
pub(crate) fn kind_of(refusal: &io::Error) -> ErrorKind {
    match refusal.kind() {
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidFilename => ErrorKind::Invalid,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::StorageFull,
        _ => ErrorKind::Unavailable,
    }
}

/// Returns whether a unique index refused a value that it already holds.
pub(crate) fn is_taken(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|failure| failure.extended_code == ffi::SQLITE_CONSTRAINT_UNIQUE)
}

/// The phase of a transaction in which a statement failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Opening, and `BEGIN`: no operation has run.
    Begin,
    /// A statement between `BEGIN` and `COMMIT`.
    Statement,
    /// `COMMIT`: only a fence transaction proves whether it was applied.
    Commit,
    /// A read.
    Read,
}

/// The part of a transaction that a failed statement affects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailureScope {
    /// It failed because of the arguments or the data of one operation: the other operations of its transaction can run
    /// without it.
    Operation,
    /// Every operation of the transaction fails for the same reason.
    Transaction,
}

impl EngineError {
    fn code(&self) -> Option<i32> {
        match self {
            // SQLite reports damage, but the cause is an I/O error.
            Self::Caused { code, .. } => {
                Some(if code & 0xff == ffi::SQLITE_CORRUPT { ffi::SQLITE_IOERR_READ } else { *code })
            }
            Self::Sqlite { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Returns whether a unique index refused a value that it already holds.
    pub(crate) fn is_taken(&self) -> bool {
        matches!(self, Self::Sqlite { code: ffi::SQLITE_CONSTRAINT_UNIQUE, .. })
    }

    /// Returns whether another connection holds the lock at the moment.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self, Self::Overtaken | Self::Outdated | Self::SecondLibrary) || self.is_held_lock()
    }

    /// Returns whether another writer committed while the transaction began. The next one can begin at once.
    pub(crate) const fn is_outdated(&self) -> bool {
        matches!(self, Self::Outdated)
    }

    /// Returns whether SQLite tried to take the lock and could not.
    pub(crate) fn is_held_lock(&self) -> bool {
        self.code().is_some_and(|code| matches!(code & 0xff, ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED))
    }

    /// Returns whether a second SQLite library in the process blocks the store at the moment.
    pub(crate) const fn is_second_library(&self) -> bool {
        matches!(self, Self::SecondLibrary)
    }

    /// Returns the same error with its cause from the operating system, if there is one.
    pub(crate) fn caused(self, path: &Path) -> Self {
        let Self::Sqlite { code, .. } = self else { return self };
        Cause::of(code, path).map_or(self, |cause| Self::Caused { code, cause })
    }

    /// Returns whether the disk could not read the file.
    pub(crate) const fn is_unreadable(&self) -> bool {
        matches!(self, Self::Caused { cause: Cause::Unreadable { .. }, .. })
    }

    /// Returns whether SQLite could not take or release a lock. That is not the same as a lock that is held. SQLite
    /// then has to close the file: the store closes all of its connections.
    pub(crate) fn is_lock(&self) -> bool {
        matches!(self, Self::LockStuck | Self::Lock { .. })
            || self.code().is_some_and(|code| code & 0xff == ffi::SQLITE_PROTOCOL || is_io_of_lock(code))
    }

    /// A lock that the operating system refused for another reason than that it is held.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "found out on Linux alone"))]
    pub(crate) const fn lock(source: io::Error) -> Self {
        Self::Lock { source }
    }

    /// Returns whether the disk was full.
    pub(crate) fn is_full(&self) -> bool {
        self.kind() == ErrorKind::StorageFull
    }

    /// Returns whether the error is about the contents of the tables, and not about the file or the disk.
    pub(crate) fn is_damage(&self) -> bool {
        self.code().is_some_and(|code| matches!(code & 0xff, 1 | 11 | 19))
    }

    /// Returns whether the writer can reopen the file and try again before the timeout.
    pub(crate) fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Elsewhere
                | Self::Overtaken
                | Self::Outdated
                | Self::SecondLibrary
                | Self::LockStuck
                | Self::Lock { .. }
        ) || self.code().is_some_and(|code| matches!(code & 0xff, 3 | 5 | 6 | 7 | 8 | 10 | 14 | 15))
    }

    /// Returns whether the error counts as a failure of the writer. A full disk, a held lock, and the data of one
    /// operation do not.
    pub(crate) fn counts_as_failure(&self) -> bool {
        self.failure_scope() == FailureScope::Transaction
            && !matches!(self.kind(), ErrorKind::StorageFull | ErrorKind::Busy)
    }

    pub(crate) fn failure_scope(&self) -> FailureScope {
        // The other operations of the transaction need other pages.
        if self.is_unreadable() || matches!(self, Self::Refused(_) | Self::Blob { .. }) {
            return FailureScope::Operation;
        }
        match self.code().map(|code| code & 0xff) {
            // CONSTRAINT, MISMATCH, TOOBIG, RANGE: the arguments of the operation. CORRUPT: the data that it read.
            Some(19 | 20 | 18 | 25 | 11) => FailureScope::Operation,
            _ => FailureScope::Transaction,
        }
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::Sqlite { code, .. } => kind(*code),
            Self::NoReader => ErrorKind::Overloaded,
            Self::ReadTimedOut => ErrorKind::Timeout,
            Self::Overtaken | Self::Outdated | Self::SecondLibrary | Self::Changing => ErrorKind::Busy,
            Self::File { source } | Self::Blob { source, .. } => kind_of(source),
            Self::Caused { .. }
            | Self::ReadersClosed
            | Self::ReaderLost
            | Self::RolledBack
            | Self::Elsewhere
            | Self::Removed
            | Self::WalReplaced { .. }
            | Self::FileTruncated
            | Self::LockStuck
            | Self::Lock { .. } => ErrorKind::Unavailable,
            Self::Damaged { .. } => ErrorKind::Corrupt,
            Self::Refused(error) => error.kind(),
            Self::Driver { .. } => ErrorKind::Internal,
        }
    }

    /// Converts the error for a call that was in `phase`.
    pub(crate) fn to_persist(&self, phase: Phase) -> PersistError {
        let effect = if phase == Phase::Commit { Effect::Unknown } else { Effect::NotApplied };
        let error = match self {
            Self::Refused(error) => error.clone(),
            error => PersistError::new(error.kind(), error.to_string()),
        };
        error.with_effect(effect)
    }
}

/// Returns whether the operating system failed at a lock.
const fn is_io_of_lock(code: i32) -> bool {
    matches!(
        code,
        ffi::SQLITE_IOERR_LOCK
            | ffi::SQLITE_IOERR_RDLOCK
            | ffi::SQLITE_IOERR_UNLOCK
            | ffi::SQLITE_IOERR_CHECKRESERVEDLOCK
            | ffi::SQLITE_IOERR_SHMLOCK
    )
}

/// Returns the error kind of a result code, primary or extended.
const fn kind(code: i32) -> ErrorKind {
    match code & 0xff {
        // BUSY, LOCKED
        5 | 6 => ErrorKind::Busy,
        // FULL
        13 => ErrorKind::StorageFull,
        // TOOBIG
        18 => ErrorKind::TooLarge,
        // CORRUPT, NOTADB
        11 | 26 => ErrorKind::Corrupt,
        // INTERRUPT
        9 => ErrorKind::Cancelled,
        // PERM, NOMEM, READONLY, IOERR, CANTOPEN, PROTOCOL, NOLFS, AUTH
        3 | 7 | 8 | 10 | 14 | 15 | 22 | 23 => ErrorKind::Unavailable,
        _ => ErrorKind::Internal,
    }
}

/// Returns the text of a result code, without the SQL text and without any value.
const fn text(code: i32) -> &'static str {
    match code & 0xff {
        _ if is_io_of_lock(code) => "a lock of the file could not be taken or released",
        3 => "access to the file was denied",
        5 | 6 => "another writer holds the lock",
        7 => "SQLite is out of memory",
        8 => "the file cannot be written",
        9 => "the statement was interrupted",
        10 => "the disk failed",
        11 => "the file is damaged",
        13 => "the disk is full",
        14 => "the file cannot be opened",
        15 => "the lock of the file cannot be used",
        18 => "a value is larger than SQLite can hold",
        19 => "a constraint was violated",
        26 => "the file is not a database",
        _ => "SQLite refused",
    }
}

/// Carries an error of a blob through the code that reads rows.
impl From<EngineError> for rusqlite::Error {
    fn from(error: EngineError) -> Self {
        Self::ToSqlConversionFailure(Box::new(error))
    }
}

impl From<rusqlite::Error> for EngineError {
    fn from(error: rusqlite::Error) -> Self {
        let error = match error {
            rusqlite::Error::ToSqlConversionFailure(carried) => match carried.downcast::<Self>() {
                Ok(engine) => return *engine,
                Err(other) => rusqlite::Error::ToSqlConversionFailure(other),
            },
            error => error,
        };
        match error.sqlite_error() {
            Some(failure) => {
                let code = failure.extended_code;
                Self::Sqlite { code, text: text(code), source: error.into() }
            }
            // Tables are strict and text is UTF-8: a value that is neither was not written by this crate.
            None if matches!(
                error,
                rusqlite::Error::Utf8Error(..)
                    | rusqlite::Error::InvalidColumnType(..)
                    | rusqlite::Error::FromSqlConversionFailure(..)
            ) =>
            {
                Self::Damaged { subject: "a value in the file" }
            }
            None => Self::Driver { source: error.into() },
        }
    }
}

impl From<EngineError> for PersistError {
    fn from(error: EngineError) -> Self {
        error.to_persist(Phase::Read).with_source(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine(code: i32) -> EngineError {
        rusqlite::Error::SqliteFailure(ffi::Error::new(code), None).into()
    }

    #[test]
    fn result_codes_map_to_their_kinds_and_effects() {
        use ErrorKind::*;
        use FailureScope::{Operation, Transaction};

        for (code, kind, reach, is_retryable) in [
            (ffi::SQLITE_CONSTRAINT_UNIQUE, Internal, Operation, false),
            (ffi::SQLITE_CONSTRAINT, Internal, Operation, false),
            (ffi::SQLITE_MISMATCH, Internal, Operation, false),
            (ffi::SQLITE_TOOBIG, TooLarge, Operation, false),
            (ffi::SQLITE_RANGE, Internal, Operation, false),
            (ffi::SQLITE_BUSY, Busy, Transaction, true),
            (ffi::SQLITE_BUSY_RECOVERY, Busy, Transaction, true),
            (ffi::SQLITE_BUSY_SNAPSHOT, Busy, Transaction, true),
            (ffi::SQLITE_LOCKED, Busy, Transaction, true),
            (ffi::SQLITE_FULL, StorageFull, Transaction, false),
            (ffi::SQLITE_IOERR, Unavailable, Transaction, true),
            (ffi::SQLITE_IOERR_WRITE, Unavailable, Transaction, true),
            (ffi::SQLITE_IOERR_FSYNC, Unavailable, Transaction, true),
            (ffi::SQLITE_IOERR_SHORT_READ, Unavailable, Transaction, true),
            (ffi::SQLITE_NOMEM, Unavailable, Transaction, true),
            (ffi::SQLITE_CORRUPT, Corrupt, Operation, false),
            (ffi::SQLITE_CORRUPT_INDEX, Corrupt, Operation, false),
            (ffi::SQLITE_NOTADB, Corrupt, Transaction, false),
            (ffi::SQLITE_CANTOPEN, Unavailable, Transaction, true),
            (ffi::SQLITE_READONLY, Unavailable, Transaction, true),
            (ffi::SQLITE_PERM, Unavailable, Transaction, true),
            (ffi::SQLITE_PROTOCOL, Unavailable, Transaction, true),
            (ffi::SQLITE_INTERRUPT, Cancelled, Transaction, false),
            (ffi::SQLITE_ERROR, Internal, Transaction, false),
            (ffi::SQLITE_MISUSE, Internal, Transaction, false),
        ] {
            let error = engine(code);
            assert_eq!(
                (error.kind(), error.failure_scope(), error.is_retryable()),
                (kind, reach, is_retryable),
                "code {code}"
            );
            for (phase, effect) in [
                (Phase::Begin, Effect::NotApplied),
                (Phase::Statement, Effect::NotApplied),
                (Phase::Commit, Effect::Unknown),
                (Phase::Read, Effect::NotApplied),
            ] {
                let error = error.to_persist(phase);
                assert_eq!((error.kind(), error.effect()), (kind, effect), "code {code} in {phase:?}");
            }
        }
    }

    #[test]
    fn an_unreadable_page_fails_one_operation_and_does_not_count_as_a_failure_of_the_writer() {
        let source = io::Error::from_raw_os_error(5);
        let cause = Cause::Unreadable { path: "chat.db".into(), offset: 4096, source };
        let error = EngineError::Caused { code: ffi::SQLITE_CORRUPT, cause };
        assert_eq!((error.kind(), error.failure_scope()), (ErrorKind::Unavailable, FailureScope::Operation));
        assert!(!error.counts_as_failure() && !error.is_damage());

        let error = EngineError::Caused { code: ffi::SQLITE_IOERR_WRITE, cause: Cause::ReadOnly };
        assert_eq!(
            (error.kind(), error.failure_scope()),
            (ErrorKind::Unavailable, FailureScope::Transaction)
        );
        assert!(error.counts_as_failure());
    }

    #[test]
    fn a_read_without_a_free_reader_is_overloaded() {
        let error = PersistError::from(EngineError::NoReader);
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Overloaded, Effect::NotApplied));
        assert!(error.is_transient());
    }

    #[test]
    fn a_lost_reader_is_unavailable() {
        let error = PersistError::from(EngineError::ReaderLost);
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::NotApplied));
    }
}
