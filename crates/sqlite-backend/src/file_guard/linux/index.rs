//! The header of the wal-index (`-shm`), and the check that the WAL is the one that it describes.

use std::{fs::File, io, os::unix::fs::FileExt as _};

/// The length of the header; the index holds two copies.
const HEADER: usize = 48;
/// The length of the header of the WAL, and of the header of a frame.
const LOG_HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

/// In the wal-index, behind both copies of the header: the number of pages of the WAL that the file has.
pub(super) const COPIES_AT: u64 = 2 * HEADER as u64;
pub(super) const NO_COPIES: [u8; 4] = [0; 4];

/// The header of the wal-index, both copies. It changes with each commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header([u8; 2 * HEADER]);

impl Header {
    pub(super) fn read(index: &File) -> io::Result<Self> {
        let mut bytes = [0; 2 * HEADER];
        index.read_exact_at(&mut bytes, 0)?;
        Ok(Self(bytes))
    }

    /// Returns whether it was read outside of a change: its two copies are equal.
    pub(super) fn is_whole(&self) -> bool {
        self.0[..HEADER] == self.0[HEADER..]
    }

    fn number(&self, at: usize) -> u32 {
        u32::from_ne_bytes(self.0[at..at + 4].try_into().unwrap_or_default())
    }

    /// Returns the last committed frame.
    fn last_frame(&self) -> u64 {
        u64::from(self.number(16))
    }

    fn page_size(&self) -> usize {
        match u16::from_ne_bytes([self.0[14], self.0[15]]) {
            1 => 65_536,
            size => usize::from(size),
        }
    }

    /// Returns the salts of the WAL, in its byte order.
    fn salts(&self) -> &[u8] {
        &self.0[32..40]
    }

    /// Returns the fault of the WAL that the index describes: its header or its last committed frame is not what SQLite
    /// wrote.
    pub(super) fn fault_of(&self, wal: &File) -> Option<&'static str> {
        let last = self.last_frame();
        if last == 0 {
            return None;
        }
        let mut header = [0; LOG_HEADER];
        // With its page: a WAL that is truncated inside of the page would otherwise pass.
        let mut frame = vec![0; FRAME_HEADER + self.page_size()];
        let at = LOG_HEADER as u64 + (last - 1) * frame.len() as u64;
        let read = wal.read_exact_at(&mut header, 0).and_then(|()| wal.read_exact_at(&mut frame, at));
        match read {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Some("was truncated"),
            // The state is unknown. SQLite meets the same error and names it.
            Err(_) => return None,
        }
        let sums = [self.number(24), self.number(28)].map(u32::to_be_bytes);
        let is_own_header = header[16..24] == *self.salts() && is_sound(&header);
        let is_own_frame = frame[8..16] == *self.salts() && frame[16..24] == *sums.as_flattened();
        (!is_own_header || !is_own_frame).then_some("was overwritten")
    }
}

/// Returns whether the index says that the file holds every committed frame of the WAL.
pub(super) fn is_checkpointed(index: &File) -> io::Result<bool> {
    let mut copies = NO_COPIES;
    index.read_exact_at(&mut copies, COPIES_AT)?;
    let header = Header::read(index)?;
    Ok(header.is_whole() && u64::from(u32::from_ne_bytes(copies)) >= header.last_frame())
}

/// Returns whether the header of a WAL has the checksum that SQLite gave it.
fn is_sound(header: &[u8; LOG_HEADER]) -> bool {
    let word = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().unwrap_or_default());
    // The checksum uses the byte order of the machine that began the WAL.
    let (magic, swapped) = (word(0), u32::swap_bytes as fn(u32) -> u32);
    let native: fn(u32) -> u32 = match magic {
        0x377f_0683 => |word| word,
        0x377f_0682 => swapped,
        _ => return false,
    };
    let sums = (0..24).step_by(8).fold((0_u32, 0_u32), |(one, two), at| {
        let one = one.wrapping_add(native(word(at))).wrapping_add(two);
        (one, two.wrapping_add(native(word(at + 4))).wrapping_add(one))
    });
    sums == (word(24), word(28))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rusqlite::Connection;

    use super::*;

    fn file(path: &Path, suffix: &str) -> File {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        File::options().read(true).write(true).open(name).unwrap()
    }

    #[test]
    fn a_wal_that_sqlite_wrote_has_no_fault() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f.db");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (b BLOB)").unwrap();
        let (index, wal) = (file(&path, "-shm"), file(&path, "-wal"));
        let mut checked = 0;
        for round in 0..200 {
            connection.execute("INSERT INTO t VALUES (zeroblob(?1))", [round * 97]).unwrap();
            match round % 20 {
                7 => connection.execute_batch("PRAGMA wal_checkpoint(PASSIVE)").unwrap(),
                13 => connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap(),
                17 => connection.execute_batch("BEGIN; DELETE FROM t; ROLLBACK").unwrap(),
                _ => {}
            }
            let header = Header::read(&index).unwrap();
            assert!(header.is_whole());
            assert_eq!(header.fault_of(&wal), None, "after round {round}");
            checked += u64::from(header.last_frame() > 0);
        }
        assert!(checked > 150);
    }

    #[test]
    fn a_changed_byte_in_the_wal_header_or_the_header_of_the_last_frame_is_a_fault() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f.db");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (b BLOB)").unwrap();
        connection.execute("INSERT INTO t VALUES (zeroblob(9000))", []).unwrap();
        let (index, wal) = (file(&path, "-shm"), file(&path, "-wal"));
        let header = Header::read(&index).unwrap();
        let len = wal.metadata().unwrap().len();
        let frame = len - (FRAME_HEADER + header.page_size()) as u64;
        for at in (0..LOG_HEADER as u64).chain(frame + 8..frame + FRAME_HEADER as u64) {
            let mut byte = [0];
            wal.read_exact_at(&mut byte, at).unwrap();
            wal.write_all_at(&[!byte[0]], at).unwrap();
            assert_eq!(header.fault_of(&wal), Some("was overwritten"), "byte {at}");
            wal.write_all_at(&byte, at).unwrap();
            assert_eq!(header.fault_of(&wal), None);
        }
        for len in [0, 31, 32, len / 2, len - 1] {
            wal.set_len(len).unwrap();
            assert_eq!(header.fault_of(&wal), Some("was truncated"), "{len} bytes");
        }
    }
}
