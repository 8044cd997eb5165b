//! Checks whether the disk can read a file.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::registry::Shared;
use crate::writer::with_suffix;

/// The longest duration of a scan.
const LIMIT: Duration = Duration::from_secs(1);

/// How long the result of a scan is valid: a store with many damaged pages is not read again for each of them.
const REMEMBERED: Duration = Duration::from_secs(60);

const STEP: usize = 1 << 20;

/// The result of a scan.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scan {
    at: Instant,
    unreadable: Option<Unreadable>,
}

#[derive(Debug, Clone, Copy)]
struct Unreadable {
    is_wal: bool,
    offset: u64,
    /// The error code of the operating system.
    code: i32,
}

/// Returns the first byte of a store's file or WAL that the disk cannot read. Reads both for at most a second, unless
/// it did that within the last minute.
pub(crate) fn unreadable(path: &Path) -> Option<(PathBuf, u64, io::Error)> {
    let files = Shared::of(path)?;
    let remembered = files.last_scan().filter(|scan| scan.at.elapsed() < REMEMBERED);
    let Unreadable { is_wal, offset, code } = match remembered {
        Some(scan) => scan.unreadable,
        None => scan(&files),
    }?;
    let path = if is_wal { with_suffix(path, "-wal") } else { path.to_owned() };
    Some((path, offset, io::Error::from_raw_os_error(code)))
}

/// Returns whether the disk cannot read a store's file or WAL, as far as one second of reading reaches.
pub(crate) fn is_unreadable(path: &Path) -> bool {
    Shared::of(path).is_some_and(|files| scan(&files).is_some())
}

/// Two concurrent scans read the file twice: with a lock the writer would wait for the scan of the watchdog.
fn scan(files: &Shared) -> Option<Unreadable> {
    let begun = Instant::now();
    let mut buffer = vec![0; STEP];
    let mut scan = |file: &File, is_wal| {
        let mut offset = 0;
        while begun.elapsed() < LIMIT {
            match file.read_at(&mut buffer, offset) {
                Ok(0) => return None,
                Ok(read) => offset += read as u64,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Some(Unreadable {
                        is_wal,
                        offset,
                        code: error.raw_os_error().unwrap_or_default(),
                    });
                }
            }
        }
        None
    };
    // The WAL is short, and SQLite also reads it first.
    let unreadable = scan(&files.wal, true).or_else(|| scan(&files.database, false));
    files.set_last_scan(Scan { at: Instant::now(), unreadable });
    unreadable
}

/// Makes the next scans of an open store report that the disk cannot read it.
#[cfg(test)]
pub(crate) fn remember_unreadable(path: &Path) {
    let unreadable = Some(Unreadable { is_wal: false, offset: 0, code: 5 });
    Shared::of(path).unwrap().set_last_scan(Scan { at: Instant::now(), unreadable });
}

/// Makes an open store remember, from now on, a scan without a fault. Returns the time of that scan.
#[cfg(test)]
pub(crate) fn remember_readable(path: &Path) -> Instant {
    let at = Instant::now();
    Shared::of(path).unwrap().set_last_scan(Scan { at, unreadable: None });
    at
}

/// Returns the time of the last scan of an open store.
#[cfg(test)]
pub(crate) fn scanned_at(path: &Path) -> Instant {
    Shared::of(path).unwrap().last_scan().unwrap().at
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    #[test]
    fn a_scan_result_is_reused_for_a_minute() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f.db");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (b BLOB)").unwrap();
        let files = Shared::of_open_file(&path);
        assert!(unreadable(&path).is_none());
        let first = files.last_scan().unwrap();
        assert!(unreadable(&path).is_none());
        assert_eq!(files.last_scan().unwrap().at, first.at);

        let found = Unreadable { is_wal: true, offset: 7, code: 5 };
        files.set_last_scan(Scan { at: first.at, unreadable: Some(found) });
        let (at, offset, error) = unreadable(&path).unwrap();
        assert_eq!((at, offset, error.raw_os_error()), (with_suffix(&path, "-wal"), 7, Some(5)));

        // The watchdog reads the disk each time.
        assert!(!is_unreadable(&path));
        assert!(unreadable(&path).is_none());
        assert_ne!(files.last_scan().unwrap().at, first.at);
    }
}
