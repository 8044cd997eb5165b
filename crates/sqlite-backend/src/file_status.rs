//! The identity and the length of a file, without its times.
//!
//! Since version 6.13, Linux gives a file whose times a program has asked for a precise time at its next change, and
//! other files the time of the last clock tick. A precise time makes each commit write the inode of the WAL too: one
//! more block in each sync, a sixth of a lone write in a measurement (decision 0143). [`std::fs::metadata`] asks for all times.

#[cfg(target_os = "linux")]
use std::fs::File;
use std::{io, path::Path};

#[cfg(target_os = "linux")]
pub(crate) use self::system::{identities_in, length};
pub(crate) use self::system::{identity, length_at};
use crate::file_guard::Identity;

#[cfg(target_os = "linux")]
mod system {
    use std::os::fd::AsFd;

    use rustix::{
        fs::{AtFlags, CWD, Dir, Mode, OFlags, Statx, StatxFlags, makedev, open, statat, statx},
        io::Errno,
        path::Arg,
    };

    use super::{File, Identity, Path, by_metadata, io};

    /// Returns the identity of the file at the path. It asks the directory: opening and closing the file would drop
    /// SQLite's locks.
    pub(crate) fn identity(path: &Path) -> io::Result<Identity> {
        match status(CWD, path, AtFlags::empty(), StatxFlags::INO)? {
            Some(found) => Ok((makedev(found.stx_dev_major, found.stx_dev_minor), found.stx_ino)),
            None => by_metadata::identity(path),
        }
    }

    /// Returns the identities of all files in a folder, without those that are removed meanwhile. A symbolic link counts as its target.
    /// It needs one free descriptor.
    pub(crate) fn identities_in(folder: &str) -> io::Result<Vec<Identity>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut folder = Dir::new(open(folder, flags, Mode::empty())?)?;
        let mut found = Vec::new();
        while let Some(entry) = folder.read() {
            let entry = entry?;
            if matches!(entry.file_name().to_bytes(), b"." | b"..") {
                continue;
            }
            let at = folder.fd()?;
            let identity = match status(at, entry.file_name(), AtFlags::empty(), StatxFlags::INO) {
                Ok(Some(found)) => (makedev(found.stx_dev_major, found.stx_dev_minor), found.stx_ino),
                Ok(None) => match statat(at, entry.file_name(), AtFlags::empty()) {
                    Ok(found) => (found.st_dev, found.st_ino),
                    Err(_) => continue,
                },
                Err(_) => continue,
            };
            found.push(identity);
        }
        Ok(found)
    }

    /// Returns the length of an open file, in bytes.
    pub(crate) fn length(file: &File) -> io::Result<u64> {
        match status(file, Path::new(""), AtFlags::EMPTY_PATH, StatxFlags::SIZE)? {
            Some(found) => Ok(found.stx_size),
            None => by_metadata::length(file),
        }
    }

    /// Returns the length of the file at the path, in bytes. It asks the directory, as [`identity`] does.
    pub(crate) fn length_at(path: &Path) -> io::Result<u64> {
        match status(CWD, path, AtFlags::empty(), StatxFlags::SIZE)? {
            Some(found) => Ok(found.stx_size),
            None => by_metadata::length_at(path),
        }
    }

    /// Returns `None` if the kernel has no such call, or a sandbox refuses it.
    fn status(at: impl AsFd, path: impl Arg, flags: AtFlags, asked: StatxFlags) -> io::Result<Option<Statx>> {
        match statx(at, path, flags, asked) {
            Ok(found) => Ok(Some(found)),
            Err(Errno::NOSYS | Errno::PERM) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    pub(crate) use super::by_metadata::{identity, length_at};
}

mod by_metadata {
    use std::fs;

    #[cfg(target_os = "linux")]
    use super::File;
    use super::{Identity, Path, io};

    #[cfg(unix)]
    pub(crate) fn identity(path: &Path) -> io::Result<Identity> {
        use std::os::unix::fs::MetadataExt as _;

        fs::metadata(path).map(|found| (found.dev(), found.ino()))
    }

    /// No program can move or remove an open file on these systems.
    #[cfg(not(unix))]
    pub(crate) fn identity(path: &Path) -> io::Result<Identity> {
        fs::metadata(path).map(|_| (0, 0))
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn length(file: &File) -> io::Result<u64> {
        file.metadata().map(|found| found.len())
    }

    pub(crate) fn length_at(path: &Path) -> io::Result<u64> {
        fs::metadata(path).map(|found| found.len())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::ErrorKind};

    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_folder_has_the_identities_of_its_files_and_of_the_targets_of_its_links() {
        let (directory, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::NamedTempFile::new().unwrap());
        let path = directory.path().join("f");
        fs::write(&path, []).unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), directory.path().join("link")).unwrap();
        std::os::unix::fs::symlink("missing", directory.path().join("broken")).unwrap();
        let found = identities_in(directory.path().to_str().unwrap()).unwrap();
        assert_eq!(found.len(), 2);
        for file in [&*path, elsewhere.path()] {
            let identity = by_metadata::identity(file).unwrap();
            assert_eq!(found.iter().filter(|found| **found == identity).count(), 1);
        }
        let missing = identities_in(directory.path().join("missing").to_str().unwrap());
        assert_eq!(missing.unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn identity_and_length_are_those_of_the_metadata() {
        let directory = tempfile::tempdir().unwrap();
        let (path, other) = (directory.path().join("f"), directory.path().join("g"));
        fs::write(&path, [7; 5000]).unwrap();
        fs::write(&other, []).unwrap();
        for path in [&path, &other] {
            let expected = (by_metadata::identity(path).unwrap(), by_metadata::length_at(path).unwrap());
            assert_eq!((identity(path).unwrap(), length_at(path).unwrap()), expected);
            #[cfg(target_os = "linux")]
            assert_eq!(length(&File::open(path).unwrap()).unwrap(), expected.1);
        }
        assert_ne!(identity(&path).unwrap(), identity(&other).unwrap());
        assert_eq!(length_at(&path).unwrap(), 5000);
    }

    /// The kernel gives files the time of the last clock tick, and at least that of the last precise time. A change keeps that
    /// time, unless a look has asked for it since: then the kernel gives the file a precise, later one.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_look_leaves_the_next_change_without_a_precise_time() {
        use std::os::unix::fs::FileExt as _;

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("looked-at");
        let [file, other] = [&path, &directory.path().join("other")].map(|path| File::create(path).unwrap());
        let changed_at = |file: &File| file.metadata().unwrap().modified().unwrap();
        // Whether a change of the file after a look keeps the time of the change before it.
        let keeps = |look: &dyn Fn()| {
            file.write_at(b"1", 0).unwrap();
            // A precise time, which the next changes of all files have until the clock ticks.
            changed_at(&other);
            other.write_at(b"1", 0).unwrap();
            let precise = changed_at(&other);
            file.write_at(b"2", 0).unwrap();
            look();
            file.write_at(b"3", 0).unwrap();
            changed_at(&file) == precise
        };
        // The clock may tick in between, and other programs ask for times too.
        let is_kept = |look: &dyn Fn()| (0..1000).any(|_| keeps(look));
        assert!(is_kept(&|| {
            identity(&path).unwrap();
        }));
        assert!(is_kept(&|| {
            length_at(&path).unwrap();
        }));
        assert!(is_kept(&|| {
            length(&file).unwrap();
        }));
    }

    #[test]
    fn a_missing_file_is_reported_as_not_found() {
        let missing = tempfile::tempdir().unwrap().path().join("f");
        assert_eq!(identity(&missing).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(length_at(&missing).unwrap_err().kind(), ErrorKind::NotFound);
    }
}
