//! The fingerprint key of a store, in a file next to its journal.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use throughline_core::{BoxError, operations::FingerprintKey};

/// The faults of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyFault {
    /// A new one is made whenever the store is opened.
    NewAtEveryOpen,
    /// All stores have the same one.
    OneForAll,
}

pub(super) struct StoreKey {
    key: Mutex<FingerprintKey>,
    path: PathBuf,
}

impl StoreKey {
    pub(super) fn open(directory: &Path, fault: Option<KeyFault>) -> Result<Self, BoxError> {
        let path = directory.join("store-key");
        let kept = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            read => Some(FingerprintKey::from_bytes(<[u8; 32]>::try_from(&*read?)?)),
        };
        let key = match (fault, kept) {
            (Some(KeyFault::OneForAll), None) => FingerprintKey::from_bytes([1; 32]),
            (Some(KeyFault::NewAtEveryOpen), _) | (_, None) => FingerprintKey::generate()?,
            (_, Some(kept)) => kept,
        };
        let opened = Self { key: Mutex::new(key), path };
        opened.take(key)?;
        Ok(opened)
    }

    pub(super) fn get(&self) -> FingerprintKey {
        *self.key.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps this one from now on.
    pub(super) fn take(&self, key: FingerprintKey) -> io::Result<()> {
        fs::write(&self.path, key.as_bytes())?;
        *self.key.lock().unwrap_or_else(PoisonError::into_inner) = key;
        Ok(())
    }
}
