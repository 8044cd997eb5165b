//! The key for the fingerprints of idempotent calls, in a file of its own next to the store.
//!
//! A copy of the store's file alone reveals nothing about the calls: the key of its fingerprints is in the other file.
//! To copy a store for use, copy both files.

use std::{
    ffi::OsString,
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
    sync::{PoisonError, RwLock},
    thread,
    time::Duration,
};

use throughline_core::{Effect, ErrorKind, PersistError, Result, operations::FingerprintKey};
use tokio::task::spawn_blocking;

use super::OpenError;

/// The suffix that follows the name of the store's file.
const SUFFIX: &str = "-fingerprints";

/// The suffix of the key file while a process writes it, before a random number of 16 digits.
const TEMPORARY: &str = ".tmp-";

/// How often a file that is shorter than a key is read again before it is refused, and the pause before each attempt.
const SHORT_READS: (u32, Duration) = (50, Duration::from_millis(10));

pub(crate) struct KeyFile {
    path: PathBuf,
    key: RwLock<FingerprintKey>,
}

impl KeyFile {
    /// Reads the key of the store at `store`, or creates one.
    pub(super) async fn open(store: &Path) -> Result<Self, OpenError> {
        let path = key_path(store);
        let failed = |path: &Path, source| OpenError::Io { path: path.to_owned(), source };
        let file = path.clone();
        let key = spawn_blocking(move || read_or_make(&file)).await;
        let key = key.unwrap_or_else(|stopped| Err(io::Error::other(stopped)));
        let key = key.map_err(|source| failed(&path, source))?;
        Ok(Self { path, key: RwLock::new(key) })
    }

    /// Returns the key.
    pub(crate) fn key(&self) -> FingerprintKey {
        *self.key.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the key by that of the primary, when this store becomes its replica.
    pub(crate) async fn replace(&self, key: FingerprintKey) -> Result<()> {
        if self.key() == key {
            return Ok(());
        }
        let file = self.path.clone();
        let replaced = spawn_blocking(move || overwrite(&file, &key));
        match replaced.await.unwrap_or_else(|stopped| Err(io::Error::other(stopped))) {
            Ok(()) => {
                *self.key.write().unwrap_or_else(PoisonError::into_inner) = key;
                Ok(())
            }
            Err(error) => {
                let detail = format!(
                    "the fingerprint key of the primary was not written to `{}`: {error}; start the mirror again",
                    self.path.display()
                );
                Err(PersistError::new(ErrorKind::Unavailable, detail)
                    .with_effect(Effect::Unknown)
                    .with_source(error))
            }
        }
    }
}

fn key_path(store: &Path) -> PathBuf {
    let mut name = OsString::from(store);
    name.push(SUFFIX);
    name.into()
}

/// Reads or creates the key. If several processes open a new store at the same time, one of them creates the complete
/// key, and all of them read it.
fn read_or_make(path: &Path) -> io::Result<FingerprintKey> {
    let pause = || thread::sleep(SHORT_READS.1);
    let key = match read(path, pause) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make(path, &FingerprintKey::generate().map_err(io::Error::other)?)?;
            read(path, pause)?
        }
        read => read?,
    };
    remove_leftovers(path);
    Ok(key)
}

/// Writes the key unless there is one. It never overwrites a file of another process, even if both processes have the
/// same id.
fn make(path: &Path, key: &FingerprintKey) -> io::Result<()> {
    let temporary = write_temporary(path, key)?;
    let named = match fs::hard_link(&temporary, path) {
        // The file system has no links, or another process that opened the store has removed the temporary file.
        Err(_) => write_new(path, key),
        named => named,
    };
    let removed = fs::remove_file(&temporary);
    unless(io::ErrorKind::AlreadyExists, named)?;
    unless(io::ErrorKind::NotFound, removed)?;
    keep_name(path)
}

/// Replaces an existing key.
fn overwrite(path: &Path, key: &FingerprintKey) -> io::Result<()> {
    let mut renamed = fs::rename(write_temporary(path, key)?, path);
    if renamed.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        // Another process that opened the store has removed the temporary file.
        renamed = fs::rename(write_temporary(path, key)?, path);
    }
    renamed?;
    keep_name(path)
}

fn unless(expected: io::ErrorKind, result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == expected => Ok(()),
        result => result,
    }
}

/// Reads the key. If a process created the file directly and not as a link, it may not have written the key yet:
/// `pause` runs before each further attempt.
fn read(path: &Path, mut pause: impl FnMut()) -> io::Result<FingerprintKey> {
    let mut bytes = fs::read(path)?;
    for _ in 0..SHORT_READS.0 {
        if bytes.len() >= 32 {
            break;
        }
        pause();
        bytes = fs::read(path)?;
    }
    let bytes = <[u8; 32]>::try_from(bytes).map_err(|bytes| {
        let detail = format!(
            "the fingerprint key is {} bytes long and not 32: restore the file, or remove it and the store creates a new key",
            bytes.len()
        );
        io::Error::new(io::ErrorKind::InvalidData, detail)
    })?;
    Ok(FingerprintKey::from_bytes(bytes))
}

/// Writes the key to a file with a unique name. A process id would not distinguish two containers on one volume.
fn write_temporary(path: &Path, key: &FingerprintKey) -> io::Result<PathBuf> {
    loop {
        let mut name = OsString::from(path);
        name.push(format!("{TEMPORARY}{:016x}", fastrand::u64(..)));
        let temporary = PathBuf::from(name);
        match write_new(&temporary, key) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            written => return written.map(|()| temporary),
        }
    }
}

/// Writes the key durably to a new file, with permissions for its owner only.
fn write_new(path: &Path, key: &FingerprintKey) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    let written = file.write_all(key.as_bytes()).and_then(|()| file.sync_all());
    if written.is_err() {
        // A short file would be refused from then on.
        drop(fs::remove_file(path));
    }
    written
}

/// Removes the temporary files of processes that ended while they created the key: each is a second copy of a secret. A
/// process that is still creating the key then finds the existing one.
fn remove_leftovers(path: &Path) {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else { return };
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let mut prefix = name.to_os_string();
    prefix.push(TEMPORARY);
    let is_leftover = |name: OsString| {
        let number = name.as_encoded_bytes().strip_prefix(prefix.as_encoded_bytes());
        number.is_some_and(|number| number.len() == 16 && number.iter().all(u8::is_ascii_hexdigit))
    };
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten().filter(|entry| is_leftover(entry.file_name())) {
        // A file that stays holds nothing that the key file does not hold.
        drop(fs::remove_file(entry.path()));
    }
}

/// Makes the name of the file durable.
fn keep_name(path: &Path) -> io::Result<()> {
    match path.parent() {
        #[cfg(unix)]
        Some(directory) => fs::File::open(directory)?.sync_all(),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_key_is_created_once_and_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let store = directory.path().join("chat.db");
        let first = KeyFile::open(&store).await.unwrap();
        assert_ne!(first.key().as_bytes(), &[0; 32]);
        assert!(KeyFile::open(&store).await.unwrap().key() == first.key());
        let other = KeyFile::open(&directory.path().join("other.db")).await.unwrap();
        assert!(other.key() != first.key(), "each store has a key of its own");
        other.replace(first.key()).await.unwrap();
        let again = KeyFile::open(&directory.path().join("other.db")).await.unwrap();
        assert!(again.key() == first.key() && other.key() == first.key());
        let files = fs::read_dir(directory.path()).unwrap().count();
        assert_eq!(files, 2, "nothing else is left");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(key_path(&store)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "others cannot read it");
        }
    }

    fn key(byte: u8) -> FingerprintKey {
        FingerprintKey::from_bytes([byte; 32])
    }

    /// Two containers on one volume have the same process id, and may draw the same number.
    #[test]
    fn a_temporary_file_is_never_that_of_another_process() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("chat.db-fingerprints");
        fastrand::seed(7);
        let first = write_temporary(&path, &key(1)).unwrap();
        fs::hard_link(&first, &path).unwrap();
        fastrand::seed(7);
        let second = write_temporary(&path, &key(2)).unwrap();
        assert_ne!(first, second);
        assert!(read(&path, || {}).unwrap() == key(1), "the linked key stays");
    }

    #[test]
    fn a_process_that_was_about_to_create_the_key_keeps_an_existing_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("chat.db-fingerprints");
        make(&path, &key(1)).unwrap();
        make(&path, &key(2)).unwrap();
        assert_eq!(write_new(&path, &key(3)).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert!(read(&path, || {}).unwrap() == key(1));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_partly_written_key_is_read_when_it_is_complete() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("chat.db-fingerprints");
        fs::write(&path, [1; 7]).unwrap();
        let mut pauses = 0;
        let read = read(&path, || {
            pauses += 1;
            if pauses == 3 {
                fs::write(&path, [1; 32]).unwrap();
            }
        });
        assert!(read.unwrap() == key(1));
        assert_eq!(pauses, 3);
    }

    #[tokio::test]
    async fn open_removes_only_temporary_keys_that_a_crash_left() {
        let directory = tempfile::tempdir().unwrap();
        let store = directory.path().join("chat.db");
        let kept = [
            "chat.db-fingerprints.bak",
            "chat.db-fingerprints.tmp-1",
            "other.db-fingerprints.tmp-0123456789abcdef",
        ];
        for name in kept.iter().copied().chain(["chat.db-fingerprints.tmp-0123456789abcdef"]) {
            fs::write(directory.path().join(name), b"a copy").unwrap();
        }
        KeyFile::open(&store).await.unwrap();
        let names = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort_unstable();
        let mut expected = [&["chat.db-fingerprints"], &kept[..]].concat();
        expected.sort_unstable();
        assert_eq!(names, expected);
    }

    #[tokio::test]
    async fn a_truncated_key_is_refused_with_its_path() {
        let directory = tempfile::tempdir().unwrap();
        let store = directory.path().join("chat.db");
        fs::write(key_path(&store), b"short").unwrap();
        let Err(error) = KeyFile::open(&store).await else { panic!("it is no key") };
        assert!(error.to_string().contains("chat.db-fingerprints"), "{error}");
    }
}
