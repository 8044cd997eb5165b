use std::{
    io::{self, Write as _},
    path::Path,
};

use rustix::fs::statvfs;
use tempfile::NamedTempFile;

/// A file that fills its disk almost completely until it is dropped.
#[derive(Debug)]
pub struct Ballast {
    _file: NamedTempFile,
}

impl Ballast {
    /// Fills the disk of `directory` up to about this many free bytes.
    ///
    /// # Panics
    /// If the disk fails for another reason than being full.
    #[must_use]
    pub fn leaving(bytes: u64, directory: &Path) -> Self {
        let mut file = NamedTempFile::new_in(directory).expect("there is space for an empty file");
        loop {
            let excess = free(directory).saturating_sub(bytes).min(64 << 10) as usize;
            match file.write(&vec![1; excess]) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::StorageFull => break,
                Err(error) => panic!("the ballast: {error}"),
            }
        }
        // Unsynced data may lose its space again when the file system allocates its blocks.
        match file.as_file().sync_all() {
            Err(error) if error.kind() != io::ErrorKind::StorageFull => panic!("the ballast: {error}"),
            _ => Self { _file: file },
        }
    }
}

/// Returns the free bytes of the disk of `directory`.
///
/// # Panics
/// If the system does not report them.
#[must_use]
pub fn free(directory: &Path) -> u64 {
    let disk = statvfs(directory).expect("a disk says how much is free on it");
    disk.f_bavail * disk.f_frsize
}
