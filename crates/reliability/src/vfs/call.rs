//! What can fail, and on which file.

use std::ffi::c_int;

use rusqlite::ffi;

/// A way for a call to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Call {
    /// A file is not opened.
    Open,
    /// A file is not deleted.
    Delete,
    /// Nothing is read.
    Read,
    /// The first half is read, and the rest is zeros: what SQLite is told of a file that ends there.
    ShortRead,
    /// Nothing is written.
    Write,
    /// The first half is written, and it fails all the same.
    ShortWrite,
    /// Nothing is brought to the disk.
    Sync,
    /// A file keeps its length.
    Truncate,
    /// The length of a file is not told.
    FileSize,
    /// A lock of the main file is not taken.
    Lock,
    /// A part of the index of the log is not mapped.
    ShmMap,
    /// A lock on the index of the log is not taken.
    ShmLock,
}

impl Call {
    /// Each of them.
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

    /// What the platform's file system answers when this fails, unless a [`Plan`](super::Plan) says another code.
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

    /// The call that SQLite makes: one can fail in two ways.
    pub(super) const fn made(self) -> Self {
        match self {
            Self::ShortRead => Self::Read,
            Self::ShortWrite => Self::Write,
            call => call,
        }
    }
}

/// What a file is to SQLite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FileKind {
    /// The file of a database.
    Main,
    /// Its write-ahead log.
    Wal,
    /// Any other: a rollback journal, a temporary file.
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

    /// Of a file that is deleted: SQLite deletes no main file.
    pub(super) fn of_name(name: &[u8]) -> Self {
        if name.ends_with(b"-wal") { Self::Wal } else { Self::Other }
    }
}
