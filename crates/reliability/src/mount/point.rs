//! Mount points.

use std::{cell::Cell, ffi::CStr, path::Path};

use rustix::{
    mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, mount_remount, unmount},
    thread::{UnshareFlags, unshare_unsafe},
};
use tempfile::TempDir;

use super::Refusal;

/// A directory with a mounted file system. Dropping it unmounts it, even while files are open.
#[derive(Debug)]
pub(super) struct Point {
    directory: TempDir,
}

/// The source of a mount.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) device: &'a Path,
    pub(super) kind: &'static CStr,
    pub(super) options: &'a CStr,
}

impl Point {
    pub(super) fn mount(source: Source<'_>) -> Result<Self, Refusal> {
        separate()?;
        let directory = tempfile::tempdir().map_err(Refusal::of("a directory to mount on"))?;
        mount(source.device, directory.path(), source.kind, MountFlags::NOATIME, source.options)
            .map_err(Refusal::of("mount"))?;
        Ok(Self { directory })
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(super) fn remount(&self, flags: MountFlags, options: &CStr) -> rustix::io::Result<()> {
        mount_remount(self.path(), MountFlags::NOATIME | flags, options)
    }

    /// Unmounts it and mounts it again. No file may be open.
    pub(super) fn again(&self, source: Source<'_>) -> rustix::io::Result<()> {
        unmount(self.path(), UnmountFlags::empty())?;
        mount(source.device, self.path(), source.kind, MountFlags::NOATIME, source.options)
    }
}

impl Drop for Point {
    fn drop(&mut self) {
        // Fails if the second mount has failed. A panic here would hide the first error.
        let _ = unmount(self.path(), UnmountFlags::DETACH);
    }
}

/// Gives this thread and its children a mount namespace of their own. The machine does not see its mounts, and they
/// end with the last process in it, also after a kill.
fn separate() -> Result<(), Refusal> {
    thread_local!(static SEPARATE: Cell<bool> = const { Cell::new(false) });
    if SEPARATE.get() {
        return Ok(());
    }
    // SAFETY: it is not the table of file descriptors that is unshared.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.map_err(Refusal::of("mounts of one's own"))?;
    let flags = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", flags).map_err(Refusal::of("mounts of one's own"))?;
    SEPARATE.set(true);
    Ok(())
}
