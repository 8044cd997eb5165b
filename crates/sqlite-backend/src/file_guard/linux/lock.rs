//! The locks, and the byte ranges that they cover.

use std::{fs::File, io, process};

use nix::{
    fcntl::{FcntlArg, fcntl},
    libc,
};

/// A byte range of a lock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bytes {
    start: libc::off_t,
    len: libc::off_t,
}

/// In the file: each connection holds a shared lock on them. The user that gets an exclusive lock is the last one.
pub(super) const SHARED: Bytes = Bytes { start: 0x4000_0002, len: 510 };

/// In the `-shm`: the writer lock.
pub(super) const WRITER: Bytes = Bytes { start: 120, len: 1 };

/// In the `-shm`: the lock of a connection that runs a checkpoint.
pub(super) const CHECKPOINT: Bytes = Bytes { start: 121, len: 1 };

/// In the `-shm`: each process holds a shared lock on it. A process that finds none resets the index.
pub(super) const USERS: Bytes = Bytes { start: 128, len: 1 };

/// In the `-shm`, beyond the bytes that SQLite locks: each process that waits for the writer lock holds a shared lock on it.
pub(super) const WAITING: Bytes = Bytes { start: 129, len: 1 };

/// Takes a shared OFD lock without waiting.
pub(super) fn share(file: &File, bytes: Bytes) -> io::Result<()> {
    Ok(fcntl(file, FcntlArg::F_OFD_SETLK(&flock(libc::F_RDLCK, bytes))).map(drop)?)
}

/// Takes an exclusive OFD lock without waiting.
pub(super) fn exclude(file: &File, bytes: Bytes) -> io::Result<()> {
    Ok(fcntl(file, FcntlArg::F_OFD_SETLK(&flock(libc::F_WRLCK, bytes))).map(drop)?)
}

/// Releases an OFD lock.
pub(super) fn release(file: &File, bytes: Bytes) -> io::Result<()> {
    Ok(fcntl(file, FcntlArg::F_OFD_SETLK(&flock(libc::F_UNLCK, bytes))).map(drop)?)
}

/// Drops the POSIX lock of the process.
pub(super) fn drop_posix(file: &File, bytes: Bytes) -> io::Result<()> {
    Ok(fcntl(file, FcntlArg::F_SETLK(&flock(libc::F_UNLCK, bytes))).map(drop)?)
}

/// Takes a shared POSIX lock of the process.
pub(super) fn share_posix(file: &File, bytes: Bytes) -> io::Result<()> {
    Ok(fcntl(file, FcntlArg::F_SETLK(&flock(libc::F_RDLCK, bytes))).map(drop)?)
}

/// Returns whether another process holds a lock that conflicts with an exclusive one.
pub(super) fn is_held_elsewhere(file: &File, bytes: Bytes) -> io::Result<bool> {
    let holder = holder(file, bytes)?;
    Ok(holder.is_some_and(|holder| u32::try_from(holder) != Ok(process::id())))
}

/// Returns whether a process, also this one, holds a lock that conflicts with an exclusive one. The locks of `file` itself
/// do not count.
pub(super) fn is_held(file: &File, bytes: Bytes) -> io::Result<bool> {
    Ok(holder(file, bytes)?.is_some())
}

/// Returns the process that holds a conflicting lock; -1 if an open file does.
fn holder(file: &File, bytes: Bytes) -> io::Result<Option<libc::pid_t>> {
    let mut found = flock(libc::F_WRLCK, bytes);
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut found))?;
    Ok((found.l_type != libc::F_UNLCK as libc::c_short).then_some(found.l_pid))
}

/// Returns whether any open file holds a lock, `file` included.
#[cfg(test)]
pub(super) fn is_held_by_a_file(file: &File, bytes: Bytes) -> bool {
    let mut found = flock(libc::F_WRLCK, bytes);
    fcntl(file, FcntlArg::F_GETLK(&mut found)).unwrap();
    found.l_type != libc::F_UNLCK as libc::c_short && found.l_pid == -1
}

fn flock(kind: i32, bytes: Bytes) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: bytes.start,
        l_len: bytes.len,
        l_pid: 0,
    }
}
