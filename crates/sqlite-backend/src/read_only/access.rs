//! The access to a file that the store must not change.

use std::{fmt::Write as _, fs, io, path::Path, time::SystemTime};

use rusqlite::{Connection, OpenFlags};

use crate::{
    connection::prepare_to_read, error::EngineError, file_guard::while_none_is_closed, writer::wal_path_of,
};

/// The way in which a connection reads the file. It is valid while [`Access::of`] returns the same value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Access {
    /// There is a WAL: another connection has the store open, or ended without closing it. The connection takes the
    /// locks of a reader, and maps the wal-index without write access.
    Shared(FileState),
    /// There is no WAL: no process has the store open. SQLite would create a WAL and a wal-index, so the connection
    /// treats the file as immutable. A read is valid only if the file is in the same state afterwards.
    Closed(FileState),
}

/// The identity of a file, and for a closed store the state of its contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileState {
    identity: Option<(u64, u64)>,
    contents: Option<(u64, SystemTime)>,
}

impl Access {
    /// Returns the access that the file at `path` permits at the moment.
    pub(crate) fn of(path: &Path) -> Result<Self, EngineError> {
        let examine = || {
            let metadata = fs::metadata(path)?;
            // In this order: a writer creates the WAL before it changes the file.
            let contents = (metadata.len(), metadata.modified()?);
            let is_shared = fs::exists(wal_path_of(path))?;
            let contents = (!is_shared).then_some(contents);
            Ok::<_, io::Error>((FileState { identity: identity(&metadata), contents }, is_shared))
        };
        match examine() {
            Ok((state, true)) => Ok(Self::Shared(state)),
            Ok((state, false)) => Ok(Self::Closed(state)),
            Err(source) => Err(EngineError::File { source }),
        }
    }

    /// Opens a connection that changes no file.
    pub(crate) fn connect(&self, path: &Path) -> rusqlite::Result<Connection> {
        let parameter = match self {
            Self::Shared(_) => "readonly_shm=1",
            Self::Closed(_) => "immutable=1",
        };
        let flags =
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
        let uri = format!("file:{}?mode=ro&{parameter}", escaped(path));
        let connection = while_none_is_closed(|| Connection::open_with_flags(uri, flags))?;
        prepare_to_read(&connection)?;
        Ok(connection)
    }

    /// Whether a read with this access must check afterwards that no process has changed the file.
    pub(crate) const fn is_checked_after(&self) -> bool {
        matches!(self, Self::Closed(_))
    }
}

#[cfg(unix)]
fn identity(metadata: &fs::Metadata) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn identity(_: &fs::Metadata) -> Option<(u64, u64)> {
    None
}

/// Returns the path as a part of a URI. The path is UTF-8.
fn escaped(path: &Path) -> String {
    let mut uri = String::new();
    for byte in path.to_string_lossy().bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' => {
                uri.push(byte.into());
            }
            byte => write!(uri, "%{byte:02x}").expect("a string takes any text"),
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_signs_of_uris_is_escaped() {
        assert_eq!(escaped(Path::new("/a/b c?d#e%f/ü.db")), "/a/b%20c%3fd%23e%25f/%c3%bc.db");
    }

    #[test]
    fn access_changes_when_a_wal_appears_and_when_the_file_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.db");
        assert!(matches!(Access::of(&path), Err(EngineError::File { .. })));
        fs::write(&path, "1").unwrap();
        let closed = Access::of(&path).unwrap();
        assert!(closed.is_checked_after());
        assert_eq!(Access::of(&path).unwrap(), closed);
        fs::write(wal_path_of(&path), "").unwrap();
        let shared = Access::of(&path).unwrap();
        assert!(!shared.is_checked_after());
        // Commits go to the WAL, and a checkpoint changes the file: the connection stays valid.
        fs::write(&path, "22").unwrap();
        assert_eq!(Access::of(&path).unwrap(), shared);
        fs::remove_file(wal_path_of(&path)).unwrap();
        assert_ne!(Access::of(&path).unwrap(), closed);
        let other = directory.path().join("other.db");
        fs::write(&other, "22").unwrap();
        let before = Access::of(&path).unwrap();
        fs::rename(&other, &path).unwrap();
        assert_ne!(Access::of(&path).unwrap(), before);
    }
}
