//! An open file of a store.

use std::{
    fs::{self, File, Permissions},
    io,
    ops::Deref,
    os::{
        fd::{AsRawFd as _, RawFd},
        unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown},
    },
    path::Path,
};

use nix::libc;

use super::{
    Identity,
    lock::{self, Bytes},
};
use crate::file_status::identity;

/// The part of a store that a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Database,
    /// The `-wal`. SQLite holds no locks on it.
    Wal,
    /// The `-shm`.
    Index,
}

/// A descriptor that holds the store's locks of one file. Closing it drops SQLite's locks on that file.
#[derive(Debug)]
pub(super) struct Descriptor {
    pub(super) part: Part,
    pub(super) identity: Identity,
    file: File,
}

impl Descriptor {
    /// Opens the file of this identity at its path.
    pub(super) fn open(path: &Path, part: Part, identity: Identity) -> io::Result<Self> {
        // An exclusive lock needs write access.
        let mut options = File::options();
        options.read(true).write(part != Part::Wal);
        if part != Part::Database {
            // As SQLite does.
            options.custom_flags(libc::O_NOFOLLOW);
        }
        let file = options.open(path)?;
        Ok(Self { part, identity, file })
    }

    /// Creates the index of a database, as SQLite does: with the rights and the owner of the database.
    ///
    /// # Errors
    /// Besides others, [`WouldBlock`](io::ErrorKind::WouldBlock): another process has just created it.
    pub(super) fn create_index(path: &Path, database: &File) -> io::Result<Self> {
        let of_database = database.metadata()?;
        let mode = of_database.mode() & 0o777;
        let created = File::options().read(true).write(true).create_new(true).mode(mode).open(path);
        let file = created.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => io::ErrorKind::WouldBlock.into(),
            _ => error,
        })?;
        // The process may take rights from its new files.
        file.set_permissions(Permissions::from_mode(mode))?;
        // Only a privileged process can.
        drop(fchown(&file, Some(of_database.uid()), Some(of_database.gid())));
        Ok(Self { part: Part::Index, identity: identity(path)?, file })
    }

    /// The bytes on which each user of the file holds a shared lock.
    const fn users(&self) -> Option<Bytes> {
        match self.part {
            Part::Database => Some(lock::SHARED),
            Part::Index => Some(lock::USERS),
            Part::Wal => None,
        }
    }

    /// Keeps others from using the file, unless one uses it already.
    pub(super) fn exclude_others(&self) {
        drop(self.users().map(|users| lock::exclude(self, users)));
    }

    /// Releases the locks that a store has while it writes nothing.
    pub(super) fn release(&self) {
        let waiting = (self.part == Part::Index).then_some(lock::WAITING);
        for bytes in [self.users(), waiting].into_iter().flatten() {
            // A lock that cannot be released goes with the descriptor.
            drop(lock::release(self, bytes));
        }
    }

    /// Returns whether the descriptor of this number is open and of this file.
    pub(super) fn is_open(&self) -> bool {
        let open = fs::metadata(format!("/proc/self/fd/{}", self.number()));
        open.is_ok_and(|open| (open.dev(), open.ino()) == self.identity)
    }

    pub(super) fn number(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

impl Deref for Descriptor {
    type Target = File;

    fn deref(&self) -> &File {
        &self.file
    }
}
