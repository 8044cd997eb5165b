use std::{io, path::PathBuf, time::Duration};

use throughline_core::{BoxError, Effect, ErrorKind, PersistError};

use crate::error::{EngineError, Phase, kind_of};

/// The reason why a store was not opened. The contents of the file are unchanged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A setting is outside its limits.
    #[error("the setting `{name}` {fault}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// The fault of the setting.
        fault: String,
    },
    /// The SQLite library in this process can corrupt a database.
    #[error("SQLite {version} can corrupt a database in WAL mode; 3.51.3 and later do not")]
    UnsafeSqlite {
        /// Its version.
        version: &'static str,
    },
    /// The directory for the file does not exist.
    #[error("there is no directory `{}`", directory.display())]
    NoDirectory {
        /// The missing directory.
        directory: PathBuf,
    },
    /// The path is not a file, or is not UTF-8.
    #[error("`{}` cannot be a store: {fault}", path.display())]
    Path {
        /// The path.
        path: PathBuf,
        /// The fault of the path.
        fault: &'static str,
    },
    /// The file belongs to another program, or is not a SQLite database.
    #[error("`{}` is not a Throughline store: {found}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The kind of file that was found.
        found: String,
    },
    /// The file was written by a later version.
    #[error("`{}` has schema {found}, and this version knows schemas up to {known}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The schema of the file.
        found: i64,
        /// The latest schema that this version knows.
        known: i64,
    },
    /// The file was written by an earlier version. Only a store that may write migrates it.
    #[error("`{}` has schema {found}, and this version reads schema {known}: open it once for writing, which migrates it", path.display())]
    Older {
        /// The file.
        path: PathBuf,
        /// The schema of the file.
        found: i64,
        /// The schema of this version.
        known: i64,
    },
    /// There is no file to read.
    #[error("there is no store `{}`", path.display())]
    Missing {
        /// The path.
        path: PathBuf,
    },
    /// The file has a `-wal`, but no `-shm`, so that it cannot be read without creating one.
    #[error("`{}` was not closed, and its `-shm` is missing: copy the `-shm` with it, or open it once for writing", path.display())]
    NoWalIndex {
        /// The file.
        path: PathBuf,
    },
    /// The ledger of migrations in the file differs from the one that this version would have written.
    #[error("migration {id} of `{}` is {found}, and this version has {expected} there", path.display())]
    Ledger {
        /// The file.
        path: PathBuf,
        /// The id of the entry in the ledger.
        id: i64,
        /// The entry of the file.
        found: String,
        /// The entry of this version.
        expected: String,
    },
    /// The file's own description is damaged.
    #[error("`{}` is damaged: {found}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The fault that was found.
        found: String,
    },
    /// A table of the store has a trigger that this crate did not create. A trigger changes what a write stores.
    #[error("`{}` has the foreign trigger `{name}` on the table `{table}`; drop it and open the store again", path.display())]
    Trigger {
        /// The file.
        path: PathBuf,
        /// The trigger.
        name: String,
        /// Its table.
        table: String,
    },
    /// SQLite did not accept a setting.
    #[error("`{}`: SQLite answers {found} to `{pragma}`, and {expected} is needed", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// The setting.
        pragma: &'static str,
        /// The value that SQLite reports.
        found: String,
        /// The required value.
        expected: &'static str,
    },
    /// Another process, or another connection of this process, held the file for too long.
    #[error("`{}` was locked for {waited:?} by another process, or by another connection of this one", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
        /// The time that the opening waited.
        waited: Duration,
    },
    /// This process was forked from one that has the file open. SQLite in the child considers the locks of the parent
    /// its own. It would write without a lock or wait forever.
    #[error(
        "`{}` was open as this process was forked, and cannot be opened in the child: fork before a store is opened, or run another program (exec)",
        path.display()
    )]
    Forked {
        /// The file.
        path: PathBuf,
    },
    /// This process was forked while a thread of a store used SQLite, and has inherited its locks: an opening could wait forever.
    #[error(
        "`{}` cannot be opened: a store used SQLite as this process was forked, and no thread here releases its locks: fork while a \
         `ForkGuard` is quiet, without a backup or a long read at work, or run another program (exec)",
        path.display()
    )]
    ForkedInUse {
        /// The file.
        path: PathBuf,
    },
    /// The disk is nearly full.
    #[error("`{}`: the disk has {available} bytes left, and {needed} are needed to open a store", path.display())]
    Full {
        /// The file.
        path: PathBuf,
        /// The available bytes.
        available: u64,
        /// The required bytes: less than the [floor](crate::SqliteOptions::free_space_floor).
        needed: u64,
    },
    /// The operating system refused.
    #[error("`{}`: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// SQLite failed.
    #[error("`{}`: {source}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// The error of SQLite.
        source: BoxError,
        /// The error kind for a caller of the pipeline.
        kind: ErrorKind,
    },
}

impl OpenError {
    pub(crate) fn sqlite(path: &std::path::Path, error: impl Into<EngineError>) -> Self {
        let error = error.into().caused(path);
        let kind = error.to_persist(Phase::Begin).kind();
        Self::Sqlite { path: path.to_owned(), source: error.into(), kind }
    }

    /// Returns the underlying SQLite failure.
    pub(crate) fn engine(&self) -> Option<&EngineError> {
        match self {
            Self::Sqlite { source, .. } => source.downcast_ref(),
            _ => None,
        }
    }

    /// Returns the error kind for the pipeline.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Setting { .. }
            | Self::NoDirectory { .. }
            | Self::Path { .. }
            | Self::Foreign { .. }
            | Self::Forked { .. }
            | Self::ForkedInUse { .. } => ErrorKind::Invalid,
            Self::Missing { .. } => ErrorKind::NotFound,
            Self::UnsafeSqlite { .. }
            | Self::Newer { .. }
            | Self::Older { .. }
            | Self::NoWalIndex { .. }
            | Self::Ledger { .. }
            | Self::Trigger { .. }
            | Self::Refused { .. } => ErrorKind::Unsupported,
            Self::Busy { .. } => ErrorKind::Busy,
            Self::Damaged { .. } => ErrorKind::Corrupt,
            Self::Full { .. } => ErrorKind::StorageFull,
            Self::Io { source, .. } => kind_of(source),
            Self::Sqlite { kind, .. } => *kind,
        }
    }
}

/// For a function that opens a store and builds a pipeline over it.
impl From<OpenError> for PersistError {
    fn from(error: OpenError) -> Self {
        Self::new(error.kind(), error.to_string()).with_effect(Effect::NotApplied).with_source(error)
    }
}
