//! Additional file locks, which a second SQLite library in the process can neither drop nor miss.
//!
//! SQLite locks its files with POSIX locks. Those belong to the process: a second library in the process (Python's own,
//! another crate's copy) is granted each lock that this one holds, and drops them all when it closes the file. It then
//! considers itself the last user and deletes the WAL, or it writes while the store writes.
//!
//! Locks of an open file description (OFD) belong to the descriptor. So the store holds, in addition to the locks of
//! its own SQLite:
//!
//! - a shared lock on the bytes by which SQLite determines whether it is the last user, in the file and in the `-shm`,
//!   while the store is open: no other library deletes the WAL or resets its index;
//! - the writer lock, in each transaction. SQLite takes it first, by `BEGIN IMMEDIATE`. The store then exchanges it for
//!   an OFD lock, and the header of the wal-index shows whether another writer committed since before the `BEGIN`.
//!
//! While the store runs a checkpoint, no other library opens the `-shm`. It runs none while a read is under way whose mark a
//! second library may have moved. After a failed sync of the file, the next
//! checkpoint copies all pages of the WAL again.
//!
//! Locks do not reveal a library that began before the exchange. So a transaction continues only while no second
//! library has the `-shm` open. A watch (`inotify`) reports whether a program opened it. The store counts the descriptors
//! of the process after that, as long as a second library is there, and at each check without a watch.
//!
//! Systems other than Linux have no such locks. This module only remembers a failed sync there.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;

#[cfg(target_os = "linux")]
use self::linux as system;
#[cfg(not(target_os = "linux"))]
use self::other as system;
pub(crate) use self::system::{
    CheckpointLock, FileGuard, MaintenanceRead, WriteLock, close_inherited, is_inherited, is_unreadable,
    unreadable, while_none_is_closed,
};
#[cfg(all(test, target_os = "linux"))]
pub(crate) use self::system::{
    is_awaited, lock_as_another_process, remember_readable, remember_unreadable, scanned_at,
};

/// Device and inode.
pub(crate) type Identity = (u64, u64);
