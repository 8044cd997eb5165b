//! Detects that another program than SQLite has truncated the file.

use std::{
    fs::File,
    os::unix::fs::FileExt as _,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::file_status;

/// How often a file that seems truncated is examined while others checkpoint into it.
const ATTEMPTS: usize = 3;

/// The length of the file at the last check.
#[derive(Debug, Default)]
pub(super) struct FileLength(AtomicU64);

impl FileLength {
    /// Returns whether the file has become shorter than its header says. SQLite itself shortens it to that length, when
    /// it gives pages back. A file that cannot be read counts as not truncated.
    pub(super) fn is_truncated(&self, database: &File, is_checkpointing: impl Fn() -> bool) -> bool {
        let length = || file_status::length(database);
        for _ in 0..ATTEMPTS {
            let Ok(found) = length() else { return false };
            let is_shorter = found < self.0.load(Ordering::Relaxed);
            if !is_shorter || length_in_header(database).is_none_or(|in_header| in_header <= found) {
                self.0.store(found, Ordering::Relaxed);
                return false;
            }
            // A checkpoint that makes the file longer again writes the header before the pages behind it.
            if is_checkpointing() {
                return false;
            }
            // The checkpoint may have ended just now.
            if length().is_ok_and(|again| again == found) {
                return true;
            }
        }
        false
    }
}

/// Returns the length of the file by its header, or `None` if the file is too short to have one.
fn length_in_header(database: &File) -> Option<u64> {
    let mut header = [0; 32];
    match database.read_exact_at(&mut header, 0) {
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Some(u64::MAX),
        read => read.ok()?,
    }
    let page_size = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65_536,
        size => u64::from(size),
    };
    let pages = u32::from_be_bytes([header[28], header[29], header[30], header[31]]);
    Some(page_size * u64::from(pages))
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    #[test]
    fn a_file_that_another_program_truncates_is_reported_as_truncated() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f.db");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (b BLOB)").unwrap();
        let (length, database) =
            (FileLength::default(), File::options().write(true).read(true).open(&path).unwrap());
        for round in 0..20 {
            connection.execute("INSERT INTO t VALUES (zeroblob(40000))", []).unwrap();
            match round % 4 {
                1 => connection.execute_batch("PRAGMA wal_checkpoint(PASSIVE)").unwrap(),
                2 => connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap(),
                3 => connection
                    .execute_batch("DELETE FROM t; VACUUM; PRAGMA wal_checkpoint(TRUNCATE)")
                    .unwrap(),
                _ => {}
            }
            assert!(!length.is_truncated(&database, || false), "round {round}");
        }
        let whole = database.metadata().unwrap().len();
        for truncated_len in [whole - 1, whole / 2, 10, 0] {
            database.set_len(truncated_len).unwrap();
            assert!(!length.is_truncated(&database, || true), "a checkpoint may be writing the pages");
            assert!(length.is_truncated(&database, || false), "{truncated_len} of {whole} bytes");
            assert!(length.is_truncated(&database, || false), "again");
        }
    }
}
