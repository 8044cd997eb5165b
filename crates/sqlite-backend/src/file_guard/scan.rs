//! Whether the disk can read a file.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::registry::Shared;
use crate::writer::beside;

/// For how long a file is read.
const LIMIT: Duration = Duration::from_secs(1);

const STEP: usize = 1 << 20;

/// The first place of a store's file or log that the disk cannot read, if that is found within a second.
pub(crate) fn unreadable(path: &Path) -> Option<(PathBuf, u64, io::Error)> {
    let files = Shared::of(path)?;
    let begun = Instant::now();
    let mut buffer = vec![0; STEP];
    let mut scan = |file: &File| {
        let mut offset = 0;
        while begun.elapsed() < LIMIT {
            match file.read_at(&mut buffer, offset) {
                Ok(0) => return None,
                Ok(read) => offset += read as u64,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Some((offset, error)),
            }
        }
        None
    };
    // The log is short, and SQLite looks there first as well.
    if let Some((offset, error)) = scan(&files.log) {
        return Some((beside(path, "-wal"), offset, error));
    }
    scan(&files.database).map(|(offset, error)| (path.to_owned(), offset, error))
}
