use std::{io, path::PathBuf, time::Duration};

use throughline_core::{BoxError, Effect, ErrorKind, PersistError};

use crate::error::{EngineError, Phase, kind_of};

/// Why a store was not opened. What was in the file is in it still.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A setting is outside its limits.
    #[error("the setting `{name}` {fault}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// What is wrong with it.
        fault: String,
    },
    /// The SQLite library in this process can corrupt a database.
    #[error("SQLite {version} can corrupt a database in WAL mode; 3.51.3 and later do not")]
    UnsafeSqlite {
        /// Its version.
        version: &'static str,
    },
    /// There is no file, and no directory to put one in.
    #[error("there is no directory `{}`", directory.display())]
    NoDirectory {
        /// The directory that is missing.
        directory: PathBuf,
    },
    /// What is there is not a file, or the path is not UTF-8.
    #[error("`{}` cannot be a store: {fault}", path.display())]
    Path {
        /// The path.
        path: PathBuf,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// The file belongs to something else: it is no SQLite database, or another program's.
    #[error("`{}` is not a Throughline store: {found}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: String,
    },
    /// The file was written by a later version.
    #[error("`{}` has schema {found}, and this version knows schemas up to {known}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The last schema that this version knows.
        known: i64,
    },
    /// The ledger of migrations in the file is not the one that this version would have written.
    #[error("migration {id} of `{}` is {found}, and this version has {expected} there", path.display())]
    Ledger {
        /// The file.
        path: PathBuf,
        /// The place in the ledger.
        id: i64,
        /// What the file has there.
        found: String,
        /// What this version has there.
        expected: String,
    },
    /// What the file says of itself is damaged.
    #[error("`{}` is damaged: {found}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
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
    /// A setting of SQLite did not take.
    #[error("`{}`: SQLite answers {found} to `{pragma}`, and {expected} is needed", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// The setting.
        pragma: &'static str,
        /// What SQLite says.
        found: String,
        /// What is needed.
        expected: &'static str,
    },
    /// Another process held the file for too long.
    #[error("`{}` was locked for {waited:?}", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
        /// How long it was waited for.
        waited: Duration,
    },
    /// This process was forked from one that has the file open. SQLite in the child has the parent's locks in its books, and
    /// would write without a lock or wait for ever.
    #[error(
        "`{}` was open as this process was forked, and cannot be opened in the child: fork before a store is opened, or run another program (exec)",
        path.display()
    )]
    Forked {
        /// The file.
        path: PathBuf,
    },
    /// The disk is all but full.
    #[error("`{}`: the disk has {available} bytes left, and {needed} are needed to open a store", path.display())]
    Full {
        /// The file.
        path: PathBuf,
        /// What is left, in bytes.
        available: u64,
        /// What is needed, in bytes: less than the [floor](crate::SqliteOptions::free_space_floor).
        needed: u64,
    },
    /// The operating system refused.
    #[error("`{}`: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// SQLite failed.
    #[error("`{}`: {source}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// Why.
        source: BoxError,
        /// What it is to a caller of the pipeline.
        kind: ErrorKind,
    },
}

impl OpenError {
    pub(crate) fn sqlite(path: &std::path::Path, error: impl Into<EngineError>) -> Self {
        let error = error.into().caused(path);
        let kind = error.to_persist(Phase::Begin).kind();
        Self::Sqlite { path: path.to_owned(), source: error.into(), kind }
    }

    /// The failure of SQLite that it was.
    pub(crate) fn engine(&self) -> Option<&EngineError> {
        match self {
            Self::Sqlite { source, .. } => source.downcast_ref(),
            _ => None,
        }
    }

    /// The same as an error of the pipeline.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Setting { .. }
            | Self::NoDirectory { .. }
            | Self::Path { .. }
            | Self::Foreign { .. }
            | Self::Forked { .. } => ErrorKind::Invalid,
            Self::UnsafeSqlite { .. }
            | Self::Newer { .. }
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
