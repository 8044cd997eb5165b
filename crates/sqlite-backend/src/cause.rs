//! The operating system's explanation of a failure for which SQLite has one code.
//!
//! SQLite reports a page that the disk could not read (`EIO`) as a damaged file, and all files that it cannot open
//! alike. A host reacts differently to each: it replaces a disk, raises a limit, repairs a mount. So the store asks the
//! system again.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use crate::file_guard::unreadable;

/// The cause of a SQLite failure.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Cause {
    #[error("the disk could not read `{}` at byte {offset}: {source}", path.display())]
    Unreadable { path: PathBuf, offset: u64, source: io::Error },
    #[error("no file descriptor is left ({source}): raise the limit (`ulimit -n`), or look for a leak")]
    NoDescriptor { source: io::Error },
    #[error(
        "the file system of the store is mounted read-only, as it is after a disk failed: repair and remount it"
    )]
    ReadOnly,
}

impl Cause {
    /// Returns the cause of this SQLite code for a store at `path`. It asks the system. If SQLite calls the file
    /// damaged, it reads the file for at most a second, and at most once a minute; so call it only after a failure.
    pub(crate) fn of(code: i32, path: &Path) -> Option<Self> {
        match code & 0xff {
            // CORRUPT
            11 => {
                let (path, offset, source) = unreadable(path)?;
                Some(Self::Unreadable { path, offset, source })
            }
            // READONLY, IOERR, CANTOPEN
            8 | 10 | 14 => no_descriptor().or_else(|| is_read_only(path).then_some(Self::ReadOnly)),
            _ => None,
        }
    }
}

fn no_descriptor() -> Option<Cause> {
    // The only failure here that concerns the process or the system.
    let source = File::open("/dev/null").err()?;
    let is_used_up = matches!(source.raw_os_error(), Some(23 | 24));
    (cfg!(unix) && is_used_up).then_some(Cause::NoDescriptor { source })
}

#[cfg(target_os = "linux")]
fn is_read_only(path: &Path) -> bool {
    use nix::sys::statvfs::{FsFlags, statvfs};

    statvfs(path.parent().unwrap_or(path)).is_ok_and(|disk| disk.flags().contains(FsFlags::ST_RDONLY))
}

#[cfg(not(target_os = "linux"))]
fn is_read_only(_: &Path) -> bool {
    false
}
