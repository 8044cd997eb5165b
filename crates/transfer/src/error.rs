use std::{io, path::PathBuf};

use throughline_core::{PersistError, TenantId};

/// Why a transfer could not begin or go on.
///
/// What is wrong with one row or one line is no error: the [`Report`](crate::Report) names it, and the rest goes on. After an
/// error what was brought over until then stays; done again, the transfer brings the rest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// A file or a folder could not be read or written.
    #[error("`{}` could not be {what}", path.display())]
    Io {
        /// The file or the folder.
        path: PathBuf,
        /// What was to be done with it: "read", "written", …
        what: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// A database could not be read.
    #[error("`{}` could not be read as a SQLite database", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// A database has no table of this name.
    #[error("`{}` has no table `{table}`", path.display())]
    NoTable {
        /// The file.
        path: PathBuf,
        /// The table that was looked for.
        table: String,
    },
    /// A table has not the columns that it must have.
    #[error("the table `{table}` of `{}` has no column {}", path.display(), missing.join(", "))]
    NoColumns {
        /// The file.
        path: PathBuf,
        /// The table.
        table: String,
        /// The columns that are not there.
        missing: Vec<String>,
    },
    /// A view has more rows or more bytes than are read of one, or does not end.
    #[error("the view `{table}` of `{}` {what}: copy the rows that are wanted into a table", path.display())]
    UnboundedView {
        /// The file.
        path: PathBuf,
        /// The view.
        table: String,
        /// Which bound it exceeds.
        what: String,
    },
    /// A file is larger than is read into memory.
    #[error("`{}` has {bytes} bytes, and at most {max} are read", path.display())]
    FileTooLarge {
        /// The file.
        path: PathBuf,
        /// How many bytes it has.
        bytes: u64,
        /// How many a file of its kind may have.
        max: u64,
    },
    /// A file is not what it must be. Nothing was taken from it and nothing written to it.
    #[error("`{}` is corrupt at line {line}, column {column}: {detail}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The line, from 1 on.
        line: usize,
        /// The column in bytes, from 1 on; 0 where the line has none.
        column: usize,
        /// What is wrong there.
        detail: String,
    },
    /// A file was written by a program that knows more than this one. It is read, and never written to.
    #[error("`{}` has schema version {version}, and only version {known} is written", path.display())]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: String,
        /// The version that this crate writes.
        known: u64,
    },
    /// A folder to write to holds something else than an earlier export.
    #[error("`{}` is not empty and holds no earlier export: found `{}`", path.display(), found.display())]
    NotAnExport {
        /// The folder.
        path: PathBuf,
        /// What stands there.
        found: PathBuf,
    },
    /// A folder to write to holds an export of another tenant: the two would be one when it is imported.
    #[error("`{}` holds an export of the tenant `{tenant}`", path.display())]
    ExportOfAnother {
        /// The folder.
        path: PathBuf,
        /// Whose it is.
        tenant: TenantId,
    },
    /// Another export is writing to the folder.
    #[error("another export is writing to `{}`", path.display())]
    ExportUnderWay {
        /// The folder.
        path: PathBuf,
    },
    /// A path is a symbolic link, which is never followed.
    #[error("`{}` is a symbolic link", path.display())]
    SymbolicLink {
        /// The path.
        path: PathBuf,
    },
    /// The store refused or failed a read or a write.
    #[error(transparent)]
    Store(#[from] PersistError),
}

impl TransferError {
    /// Puts the path and the deed to what the system says.
    pub(crate) fn io(path: impl Into<PathBuf>, what: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, what, source }
    }
}
