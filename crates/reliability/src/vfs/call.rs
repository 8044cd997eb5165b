//! The calls that can fail, and the kinds of files.

use std::ffi::c_int;

use rusqlite::ffi;

/// A failing call of the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Call {
    /// Opening a file fails.
    Open,
    /// Deleting a file fails.
    Delete,
    /// Reading fails.
    Read,
    /// Only the first half is read and the rest is zeros, like a read past the end of a file.
    ShortRead,
    /// Writing fails.
    Write,
    /// The first half is written, and the call fails.
    ShortWrite,
    /// Syncing fails.
    Sync,
    /// Truncating a file fails.
    Truncate,
    /// Reading the size of a file fails.
    FileSize,
    /// Taking a lock on the main file fails.
    Lock,
    /// Mapping a part of the WAL index fails.
    ShmMap,
    /// Taking a lock on the WAL index fails.
    ShmLock,
}

impl Call {
    /// All calls.
    pub const ALL: [Self; 12] = [
        Self::Open,
        Self::Delete,
        Self::Read,
        Self::ShortRead,
        Self::Write,
        Self::ShortWrite,
        Self::Sync,
        Self::Truncate,
        Self::FileSize,
        Self::Lock,
        Self::ShmMap,
        Self::ShmLock,
    ];

    /// Returns the error code of the platform's file system for this failure, unless a [`Plan`](super::Plan) sets
    /// another one.
    #[must_use]
    pub const fn code(self) -> i32 {
        match self {
            Self::Open => ffi::SQLITE_CANTOPEN,
            Self::Delete => ffi::SQLITE_IOERR_DELETE,
            Self::Read => ffi::SQLITE_IOERR_READ,
            Self::ShortRead => ffi::SQLITE_IOERR_SHORT_READ,
            Self::Write => ffi::SQLITE_IOERR_WRITE,
            Self::ShortWrite => ffi::SQLITE_FULL,
            Self::Sync => ffi::SQLITE_IOERR_FSYNC,
            Self::Truncate => ffi::SQLITE_IOERR_TRUNCATE,
            Self::FileSize => ffi::SQLITE_IOERR_FSTAT,
            Self::Lock => ffi::SQLITE_IOERR_LOCK,
            Self::ShmMap => ffi::SQLITE_IOERR_SHMMAP,
            Self::ShmLock => ffi::SQLITE_IOERR_SHMLOCK,
        }
    }

    /// Returns the call that SQLite makes: reads and writes can fail in two ways.
    pub(super) const fn made(self) -> Self {
        match self {
            Self::ShortRead => Self::Read,
            Self::ShortWrite => Self::Write,
            call => call,
        }
    }
}

/// The kind of a file in SQLite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FileKind {
    /// A database file.
    Main,
    /// A WAL file.
    Wal,
    /// Another file: a rollback journal or a temporary file.
    Other,
}

impl FileKind {
    pub(super) const fn of_flags(flags: c_int) -> Self {
        if flags & ffi::SQLITE_OPEN_MAIN_DB != 0 {
            Self::Main
        } else if flags & ffi::SQLITE_OPEN_WAL != 0 {
            Self::Wal
        } else {
            Self::Other
        }
    }

    /// Returns the kind of a deleted file: SQLite does not delete main files.
    pub(super) fn of_name(name: &[u8]) -> Self {
        if name.ends_with(b"-wal") { Self::Wal } else { Self::Other }
    }
}
