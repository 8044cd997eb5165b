//! Locks beside those of SQLite, which a second SQLite library in the process can neither drop nor miss.
//!
//! SQLite locks its files with POSIX locks. Those belong to the process: a second library in the process (Python's own,
//! another crate's copy) is granted each lock that this one holds, and drops them all when it closes the file. It then takes
//! itself for the last user, and deletes the log; and it writes while the store writes.
//!
//! Locks of an open file description (OFD) belong to whoever opened the file. So the store holds, beside the locks of its
//! own SQLite:
//!
//! - a shared lock on the bytes by which SQLite finds out whether it is the last user, in the file and in the `-shm`, for as
//!   long as it is open: no other library deletes the log or resets its index;
//! - the lock of the writer, in each transaction. SQLite takes it first, by `BEGIN IMMEDIATE`. It is then exchanged for an
//!   OFD lock, and the header of the index says whether anyone committed between the two.
//!
//! While the store runs a checkpoint, nobody else opens the `-shm`.
//!
//! What began before the exchange is not seen by locks at all. So a transaction goes on only while no second library has the
//! `-shm` open. A watch (`inotify`) says whether anyone opened it since the last look; only then the descriptors of the
//! process are counted.
//!
//! On systems other than Linux there are no such locks, and none of this is done.

#[cfg(target_os = "linux")]
mod checkpoint;
#[cfg(target_os = "linux")]
mod files;
#[cfg(target_os = "linux")]
mod index;
#[cfg(target_os = "linux")]
mod length;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
mod lock;
#[cfg(not(target_os = "linux"))]
mod other;
#[cfg(target_os = "linux")]
mod per_process;
#[cfg(target_os = "linux")]
mod registry;
#[cfg(target_os = "linux")]
mod scan;
#[cfg(target_os = "linux")]
mod watch;

#[cfg(not(target_os = "linux"))]
pub(crate) use self::other::{FileGuard, WriteLock, close_inherited, is_inherited, while_none_is_closed};
#[cfg(target_os = "linux")]
pub(crate) use self::{
    linux::{FileGuard, WriteLock},
    registry::{close_inherited, is_inherited, while_none_is_closed},
    scan::{is_unreadable, unreadable},
};

#[cfg(all(test, target_os = "linux"))]
pub(crate) use self::{
    linux::lock_as_another_process,
    scan::{remember_readable, remember_unreadable, scanned_at},
};

/// Device and inode.
pub(crate) type Identity = (u64, u64);
