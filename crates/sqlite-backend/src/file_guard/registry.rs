//! The open files of all stores of the process.
//!
//! To close a descriptor drops every POSIX lock of the process on its file, whoever took it. So the stores on one file share
//! theirs, and they are closed when nothing else in the process has the file open.

use std::{
    collections::HashMap,
    fs, io,
    ops::Deref,
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak},
};

use super::{
    Identity,
    files::{Files, descriptors},
};

#[derive(Debug, Default)]
struct Registry {
    open: HashMap<Identity, Weak<Files>>,
    /// Of stores that were closed, while something else in the process has their files open.
    kept: Vec<Arc<Files>>,
}

static REGISTRY: LazyLock<Mutex<Registry>> = LazyLock::new(Mutex::default);

fn registry() -> MutexGuard<'static, Registry> {
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The files of a store. Dropped by the last store, they are closed as soon as that drops no lock of others.
#[derive(Debug)]
pub(super) struct Shared(Option<Arc<Files>>);

impl Deref for Shared {
    type Target = Files;

    fn deref(&self) -> &Files {
        match &self.0 {
            Some(files) => files,
            None => unreachable!("they are taken out as this is dropped"),
        }
    }
}

impl Shared {
    /// Those at a path, its log and its index, which SQLite has open.
    pub(super) fn open(path: &Path, log: &Path, index: &Path) -> io::Result<Self> {
        let mut registry = registry();
        registry.close_what_can_be();
        let identity = identity(path)?;
        let opened = (self::identity(log)?, self::identity(index)?);
        if let Some(files) = registry.open.get(&identity).and_then(Weak::upgrade)
            && files.opened == opened
        {
            return Ok(Self(Some(files)));
        }
        let is_same = |files: &Arc<Files>| files.identity == identity && files.opened == opened;
        let files = match registry.kept.iter().position(is_same) {
            Some(at) => registry.kept.swap_remove(at),
            None => Arc::new(Files::open([path, log, index], identity, opened)?),
        };
        if let Err(error) = files.lock() {
            registry.kept.push(files);
            return Err(error);
        }
        registry.open.insert(identity, Arc::downgrade(&files));
        Ok(Self(Some(files)))
    }

    /// Of a store that is open.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let identity = identity(path).ok()?;
        let files = registry().open.get(&identity).and_then(Weak::upgrade)?;
        Some(Self(Some(files)))
    }

    /// Gives the locks back if this is the last store on the file.
    pub(super) fn unlock_if_last(&self) {
        let _registry = registry();
        if self.0.as_ref().is_some_and(|files| Arc::strong_count(files) == 1) {
            self.unlock();
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Held until the descriptors are closed: no store on the file is opened meanwhile.
        let mut registry = registry();
        let Some(files) = self.0.take() else { return };
        if Arc::strong_count(&files) == 1 {
            registry.open.remove(&files.identity);
            files.unlock();
            registry.kept.push(files);
            registry.close_what_can_be();
        }
    }
}

impl Registry {
    /// Closes the files that nothing else in the process has open.
    fn close_what_can_be(&mut self) {
        // Their own descriptors are two.
        self.kept
            .retain(|files| descriptors(&[files.identity, files.opened.1]).is_none_or(|found| found > 2));
    }
}

fn identity(path: &Path) -> io::Result<Identity> {
    fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}
