//! The file of a store: its path and its permissions.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Mutex,
};

use throughline_core::backend::{Inherit, PerProcess};

use super::OpenError;
use crate::writer::available;

/// The creation of one file.
#[derive(Default)]
struct Creating;

impl Inherit for Creating {
    fn inherit(_: &Mutex<Self>) -> Self {
        Self
    }
}

/// Returns the path to open. It is absolute, so that SQLite never reads it as a `file:` URI and a change of directory
/// does not affect it. For a symbolic link it is the target, because SQLite puts the WAL next to the target.
pub(super) fn resolve(path: &Path) -> Result<PathBuf, OpenError> {
    let fault = |fault| Err(OpenError::Path { path: path.to_owned(), fault });
    if path.as_os_str().is_empty() {
        return fault("it is empty");
    }
    // SQLite and its drivers interpret these names in other ways: a caller that passes one does not mean a file of that
    // name.
    if path.to_str() == Some(":memory:") {
        return fault("a store is a file; `temporary()` creates one that is removed with its handle");
    }
    if path.to_str().is_some_and(|path| path.starts_with("file:") || path.starts_with("sqlite:")) {
        return fault(
            "a store is opened by its path, not by a URL; a file of this name is opened with `./` before it",
        );
    }
    let path = std::path::absolute(path).map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
    if path.to_str().is_none() {
        return fault("it is not UTF-8");
    }
    let directory = path.parent().unwrap_or(&path);
    if !directory.is_dir() {
        return Err(OpenError::NoDirectory { directory: directory.to_owned() });
    }
    match fs::metadata(&path) {
        Ok(metadata) if !metadata.is_file() => fault("it is not a file"),
        // SQLite treats it as an empty file, and would begin a store in it.
        Ok(metadata) if metadata.len() == 1 && cfg!(not(target_vendor = "apple")) => {
            Err(OpenError::Foreign { path, found: "it is one byte long".to_owned() })
        }
        Ok(_) if path.is_symlink() => match fs::canonicalize(&path) {
            Ok(path) if path.to_str().is_none() => fault("it is not UTF-8"),
            Ok(path) => Ok(path),
            Err(source) => Err(OpenError::Io { path, source }),
        },
        Ok(_) => Ok(path),
        Err(error) if path.is_symlink() && error.kind() != io::ErrorKind::PermissionDenied => {
            fault("it is a symbolic link without a target")
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(path),
        Err(source) => Err(OpenError::Io { path, source }),
    }
}

/// The bytes that opening itself may need: a wal-index, and the schema of a new file.
const OPENING: u64 = 1 << 20;

/// Refuses to open on a disk that is nearly full: the operating system ends a process that maps a wal-index for which
/// the disk has no block left. A store that is only below its floor opens, so that it can be read.
pub(super) fn expect_space(path: &Path, floor: u64) -> Result<(), OpenError> {
    expect_enough(path, available(path.parent().unwrap_or(path)), floor)
}

fn expect_enough(path: &Path, available: u64, floor: u64) -> Result<(), OpenError> {
    let needed = floor.min(OPENING);
    if available < needed {
        return Err(OpenError::Full { path: path.to_owned(), available, needed });
    }
    Ok(())
}

/// Creates the file if it is missing, with permissions for its owner only; SQLite gives `-wal` and `-shm` the same
/// mode.
///
/// A process that closes a file loses all locks that it holds on it, SQLite's included. So this function never opens an
/// existing file, and it closes a new file before any code in this process opens it again.
pub(super) fn create(path: &Path) -> Result<(), OpenError> {
    static CREATING: PerProcess<Creating> = PerProcess::new();

    let _one_at_a_time = CREATING.lock();
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(source) => Err(OpenError::Io { path: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use throughline_core::ErrorKind;

    use super::*;

    #[test]
    fn an_invalid_path_is_refused_with_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("none/chat.db");
        assert_eq!(
            resolve(&missing).unwrap_err().to_string(),
            format!("there is no directory `{}`", missing.parent().unwrap().display())
        );
        assert_eq!(
            resolve(directory.path()).unwrap_err().to_string(),
            format!("`{}` cannot be a store: it is not a file", directory.path().display())
        );
        assert!(matches!(resolve(Path::new("")), Err(OpenError::Path { .. })));
        for url in ["file:x.db?mode=memory", "sqlite://chat.db", ":memory:"] {
            let message = resolve(Path::new(url)).unwrap_err().to_string();
            assert!(message.starts_with(&format!("`{url}` cannot be a store: a store is ")), "{message}");
            assert!(resolve(&directory.path().join(url.replace('/', "_"))).unwrap().is_absolute());
        }
    }

    #[test]
    fn opening_needs_a_megabyte_but_no_more_than_the_floor() {
        let path = Path::new("/chat.db");
        for (available, floor, refused) in [
            (OPENING - 1, 16 << 20, Some(OPENING)),
            (OPENING, 16 << 20, None),
            (0, OPENING, Some(OPENING)),
            (511, 512, Some(512)),
            (512, 512, None),
            (0, 0, None),
        ] {
            let outcome = match expect_enough(path, available, floor) {
                Ok(()) => None,
                Err(OpenError::Full { path: full, available: left, needed }) => {
                    assert_eq!((full.as_path(), left), (path, available));
                    Some(needed)
                }
                Err(other) => panic!("{other}"),
            };
            assert_eq!(outcome, refused, "{available} of {floor}");
        }
    }

    #[test]
    fn an_error_of_the_operating_system_is_reported_with_its_reason() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("n".repeat(300));
        let error = resolve(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let reason = std::io::Error::from_raw_os_error(36);
        if cfg!(target_os = "linux") {
            assert_eq!(error.to_string(), format!("`{}`: {reason}", path.display()));
        }
        for (kind, expected) in [
            (io::ErrorKind::PermissionDenied, ErrorKind::Unavailable),
            (io::ErrorKind::ReadOnlyFilesystem, ErrorKind::Unavailable),
            (io::ErrorKind::StorageFull, ErrorKind::StorageFull),
            (io::ErrorKind::TimedOut, ErrorKind::Unavailable),
        ] {
            assert_eq!(OpenError::Io { path: path.clone(), source: kind.into() }.kind(), expected);
        }
    }

    #[test]
    fn a_file_of_one_byte_is_refused_as_foreign() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("chat.db");
        for (bytes, refused) in [("", false), ("x", true), ("xy", false)] {
            fs::write(&path, bytes).unwrap();
            let resolved = resolve(&path);
            assert_eq!(matches!(resolved, Err(OpenError::Foreign { .. })), refused, "{resolved:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_symbolic_link_resolves_to_its_file_or_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("chat.db"), directory.path().join("link.db"));
        create(&file).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(resolve(&link).unwrap(), fs::canonicalize(&file).unwrap());
        fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink(&link, &file).unwrap();
        for dangling in [directory.path().join("none.db"), link.clone()] {
            fs::remove_file(&link).unwrap();
            std::os::unix::fs::symlink(&dangling, &link).unwrap();
            let message = resolve(&link).unwrap_err().to_string();
            let expected = "cannot be a store: it is a symbolic link without a target";
            assert_eq!(message, format!("`{}` {expected}", link.display()));
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_new_file_is_private_to_its_owner_and_an_existing_one_is_unchanged() {
        use std::os::unix::fs::PermissionsExt;

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("chat.db");
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        create(&path).unwrap();
        assert_eq!(mode(), 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        create(&path).unwrap();
        assert_eq!(mode(), 0o640);
    }
}
