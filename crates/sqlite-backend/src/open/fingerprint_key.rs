//! The key of the fingerprints of idempotent calls, in a file of its own beside the store.
//!
//! A copy of the store's file alone tells nothing of what was sent: its fingerprints are keyed with what stands in the other
//! file. A store that is copied to be used goes with both.

use std::{
    ffi::OsString,
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use throughline_core::{Effect, ErrorKind, FingerprintKey, PersistError, Result};
use tokio::task::spawn_blocking;

use super::OpenError;

/// What the name of the store's file is followed by.
const SUFFIX: &str = "-fingerprints";

pub(crate) struct KeyFile {
    path: PathBuf,
    key: RwLock<FingerprintKey>,
}

impl KeyFile {
    /// Reads the key of the store at `store`, or makes one.
    pub(super) async fn open(store: &Path) -> Result<Self, OpenError> {
        let path = beside(store);
        let failed = |path: &Path, source| OpenError::Io { path: path.to_owned(), source };
        let file = path.clone();
        let key = spawn_blocking(move || read_or_make(&file)).await;
        let key = key.unwrap_or_else(|stopped| Err(io::Error::other(stopped)));
        let key = key.map_err(|source| failed(&path, source))?;
        Ok(Self { path, key: RwLock::new(key) })
    }

    /// The key.
    pub(crate) fn key(&self) -> FingerprintKey {
        *self.key.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the key of the store that this one follows from now on.
    pub(crate) async fn replace(&self, key: FingerprintKey) -> Result<()> {
        if self.key() == key {
            return Ok(());
        }
        let file = self.path.clone();
        let replaced = spawn_blocking(move || {
            let fresh = write_beside(&file, &key)?;
            fs::rename(&fresh, &file)?;
            keep_name(&file)
        });
        match replaced.await.unwrap_or_else(|stopped| Err(io::Error::other(stopped))) {
            Ok(()) => {
                *self.key.write().unwrap_or_else(PoisonError::into_inner) = key;
                Ok(())
            }
            Err(error) => {
                let detail = format!(
                    "the fingerprint key of the store that is followed was not written to `{}`: {error}; start the mirror again",
                    self.path.display()
                );
                Err(PersistError::new(ErrorKind::Unavailable, detail)
                    .with_effect(Effect::Unknown)
                    .with_source(error))
            }
        }
    }
}

fn beside(store: &Path) -> PathBuf {
    let mut name = OsString::from(store);
    name.push(SUFFIX);
    name.into()
}

/// Of several processes that open a fresh store at one time, one makes the key, whole, and all of them read it.
fn read_or_make(path: &Path) -> io::Result<FingerprintKey> {
    match read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        read => return read,
    }
    let key = FingerprintKey::generate().map_err(io::Error::other)?;
    let fresh = write_beside(path, &key)?;
    let named = match fs::hard_link(&fresh, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        // A file system without links.
        Err(_) if !path.exists() => fs::copy(&fresh, path).map(drop),
        named => named,
    };
    fs::remove_file(&fresh)?;
    named?;
    keep_name(path)?;
    read(path)
}

fn read(path: &Path) -> io::Result<FingerprintKey> {
    let bytes = fs::read(path)?;
    let bytes = <[u8; 32]>::try_from(bytes).map_err(|bytes| {
        let detail = format!(
            "the fingerprint key is {} bytes long and not 32: restore the file, or remove it to have a new key made",
            bytes.len()
        );
        io::Error::new(io::ErrorKind::InvalidData, detail)
    })?;
    Ok(FingerprintKey::from_bytes(bytes))
}

/// Writes the key to a file with a name of its own, durably, for its owner alone.
fn write_beside(path: &Path, key: &FingerprintKey) -> io::Result<PathBuf> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let mut name = OsString::from(path);
    name.push(format!(".{}-{number}", std::process::id()));
    let fresh = PathBuf::from(name);
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&fresh)?;
    file.write_all(key.as_bytes())?;
    file.sync_all()?;
    Ok(fresh)
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
    async fn a_key_is_made_once_and_read_again() {
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
            let mode = fs::metadata(beside(&store)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "others cannot read it");
        }
    }

    #[tokio::test]
    async fn a_key_that_is_cut_short_is_refused_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let store = directory.path().join("chat.db");
        fs::write(beside(&store), b"short").unwrap();
        let Err(error) = KeyFile::open(&store).await else { panic!("it is no key") };
        assert!(error.to_string().contains("chat.db-fingerprints"), "{error}");
    }
}
