use std::{
    io::{self, Write as _},
    path::Path,
};

use rustix::fs::statvfs;
use tempfile::NamedTempFile;

/// A file that leaves little room on its disk, until it is dropped.
#[derive(Debug)]
pub struct Ballast {
    _file: NamedTempFile,
}

impl Ballast {
    /// Takes all of the disk that `directory` is on, but for about so many bytes.
    ///
    /// # Panics
    /// When the disk fails in another way than by being full.
    #[must_use]
    pub fn leaving(bytes: u64, directory: &Path) -> Self {
        let mut file = NamedTempFile::new_in(directory).expect("there is room for an empty file");
        loop {
            let excess = free(directory).saturating_sub(bytes).min(64 << 10) as usize;
            match file.write(&vec![1; excess]) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::StorageFull => break,
                Err(error) => panic!("the ballast: {error}"),
            }
        }
        // What is not on the disk may be given up again when its blocks are chosen.
        match file.as_file().sync_all() {
            Err(error) if error.kind() != io::ErrorKind::StorageFull => panic!("the ballast: {error}"),
            _ => Self { _file: file },
        }
    }
}

/// How many bytes may still be written on the disk that `directory` is on.
///
/// # Panics
/// When it does not say.
#[must_use]
pub fn free(directory: &Path) -> u64 {
    let disk = statvfs(directory).expect("a disk says how much is free on it");
    disk.f_bavail * disk.f_frsize
}
