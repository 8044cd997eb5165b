use std::{io, path::PathBuf};

use throughline_core::{PersistError, TenantId};

/// The reason why a transfer failed.
///
/// A defect of one row or one line is no error: the [`Report`](crate::Report) names it, and the transfer continues.
/// After an error the imported messages stay, and a repeated transfer imports the rest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// A file or a folder could not be read or written.
    #[error("`{}` could not be {operation}", path.display())]
    Io {
        /// The file or the folder.
        path: PathBuf,
        /// The operation: "read", "written", …
        operation: &'static str,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A source is a pipe, a device or a socket. It may have no end, and it can be read only once.
    #[error("`{}` is neither a file nor a folder: write its content to a file, and name that", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// A database could not be read.
    #[error("`{}` could not be read as a SQLite database", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// The error of SQLite.
        source: rusqlite::Error,
    },
    /// The content of a file or a folder matches no format.
    #[error("`{}` is in no known format: name one of {}, or another file", path.display(), crate::any_source::format_names())]
    UnknownFormat {
        /// The file or the folder.
        path: PathBuf,
    },
    /// A folder has too many files.
    #[error("`{}` has more than {max} files: import its subfolders one by one", path.display())]
    TooManyFiles {
        /// The folder.
        path: PathBuf,
        /// The most files of a folder.
        max: usize,
    },
    /// A database has no table of this name.
    #[error("`{}` has no table `{table}`", path.display())]
    NoTable {
        /// The file.
        path: PathBuf,
        /// The name of the table.
        table: String,
    },
    /// A table lacks required columns.
    #[error("the table `{table}` of `{}` has no column {}", path.display(), missing.join(", "))]
    NoColumns {
        /// The file.
        path: PathBuf,
        /// The table.
        table: String,
        /// The missing columns.
        missing: Vec<String>,
    },
    /// A view has too many rows or bytes, or does not end.
    #[error("the view `{table}` of `{}` {bound}: copy the rows that are wanted into a table", path.display())]
    UnboundedView {
        /// The file.
        path: PathBuf,
        /// The view.
        table: String,
        /// The exceeded limit.
        bound: String,
    },
    /// A file is too large to be read into memory.
    #[error("`{}` has {bytes} bytes, and at most {max} are read", path.display())]
    FileTooLarge {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        bytes: u64,
        /// The largest size of a file of its kind.
        max: u64,
    },
    /// A file is malformed. The transfer read nothing from it and wrote nothing to it.
    #[error("`{}` is corrupt at line {line}, column {column}: {detail}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column in bytes, from 1; 0 if it is unknown.
        column: usize,
        /// The defect.
        detail: String,
    },
    /// A newer version of the format wrote the file. The transfer reads it, but never writes to it.
    #[error("`{}` has schema version {version}, and only version {known} is written", path.display())]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: String,
        /// The version that this crate writes.
        known: u64,
    },
    /// The folder to write to contains something other than an earlier export.
    #[error("`{}` is not empty and holds no earlier export: found `{}`", path.display(), found.display())]
    NotAnExport {
        /// The folder.
        path: PathBuf,
        /// The path that was found in it.
        found: PathBuf,
    },
    /// The folder to write to contains an export of another tenant. An import would mix the two.
    #[error("`{}` holds an export of the tenant `{tenant}`", path.display())]
    ExportOfAnother {
        /// The folder.
        path: PathBuf,
        /// The tenant of the existing export.
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
    /// Adds the path and the operation to an error of the operating system.
    pub(crate) fn io(path: impl Into<PathBuf>, operation: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, operation, source }
    }

    /// Returns the cause alone, for a report that names the path already.
    pub(crate) fn cause(&self) -> String {
        std::error::Error::source(self).map_or_else(|| self.to_string(), ToString::to_string)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_of_an_error_is_that_of_the_operating_system() {
        let error = TransferError::io("a.jsonl", "read")(io::Error::from(io::ErrorKind::PermissionDenied));
        assert_eq!(error.cause(), "permission denied");
        let error = TransferError::NoTable { path: "a.db".into(), table: "t".to_owned() };
        assert_eq!(error.cause(), "`a.db` has no table `t`");
    }
}
