use std::{
    fs::File,
    io,
    path::Path,
    process::{Command, Stdio},
};

use rustix::{
    ioctl::{Opcode, Setter, ioctl, opcode},
    mount::MountFlags,
};

use super::{
    Refusal,
    loop_device::LoopDevice,
    point::{Point, Source},
};

/// `EXT4_IOC_SHUTDOWN`, the same as `XFS_IOC_GOINGDOWN`.
const SHUTDOWN: Opcode = opcode::read::<u32>(b'X', 125);

/// `EXT4_GOING_FLAGS_NOLOGFLUSH`: do not flush the journal.
const WITHOUT_LOG: u32 = 2;

/// A disk with ext4 in a file.
#[derive(Debug)]
pub struct Ext4 {
    // Declared first, so that it is unmounted before the device is released.
    point: Point,
    device: LoopDevice,
}

impl Ext4 {
    /// Mounts a file system of this many bytes, with blocks of `block` bytes: 1024 or 4096.
    ///
    /// # Errors
    /// Returns the reason why it cannot be mounted here.
    pub fn mount(bytes: u64, block: u32) -> Result<Self, Refusal> {
        let image = tempfile::NamedTempFile::new().map_err(Refusal::of("the file of a disk"))?;
        image.as_file().set_len(bytes).map_err(Refusal::of("the file of a disk"))?;
        format(image.path(), block)?;
        // The device holds the file, so its name is no longer needed.
        let device = LoopDevice::attach(image.as_file())?;
        let point = Point::mount(source(&device))?;
        Ok(Self { point, device })
    }

    /// Returns the mount point.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.point.path()
    }

    /// Simulates a loss of power: from now on, nothing is written. Data that is only in memory is lost when the
    /// disk is [mounted again](Self::mount_again).
    ///
    /// # Errors
    /// Returns the error of the kernel.
    pub fn shut_down(&self) -> io::Result<()> {
        let directory = File::open(self.path())?;
        // SAFETY: the call takes a pointer to 32 bits.
        let call = unsafe { Setter::<SHUTDOWN, u32>::new(WITHOUT_LOG) };
        // SAFETY: the directory is on ext4, which knows the call.
        Ok(unsafe { ioctl(directory, call) }?)
    }

    /// Unmounts it and mounts it again, which recovers the journal.
    ///
    /// # Errors
    /// Returns the error of the kernel, also if a file is still open.
    pub fn mount_again(&self) -> io::Result<()> {
        Ok(self.point.again(source(&self.device))?)
    }

    /// Mounts it read-only. The kernel refuses while a file is open for writing.
    ///
    /// # Errors
    /// Returns the error of the kernel.
    pub fn forbid_writing(&self) -> io::Result<()> {
        Ok(self.point.remount(MountFlags::RDONLY, c"")?)
    }

    /// Mounts it writable again.
    ///
    /// # Errors
    /// Returns the error of the kernel.
    pub fn allow_writing(&self) -> io::Result<()> {
        Ok(self.point.remount(MountFlags::empty(), c"")?)
    }

    /// Makes it read-only while files are open for writing, as ext4 does when the disk fails, until it is [mounted
    /// again](Self::mount_again).
    ///
    /// # Errors
    /// Returns the error of the kernel.
    pub fn abort(&self) -> io::Result<()> {
        Ok(self.point.remount(MountFlags::empty(), c"abort")?)
    }
}

fn source(device: &LoopDevice) -> Source<'_> {
    Source { device: device.path(), kind: c"ext4", options: c"errors=remount-ro" }
}

fn format(image: &Path, block: u32) -> Result<(), Refusal> {
    let mut command = Command::new("mkfs.ext4");
    command
        .args(["-q", "-F", "-m", "0", "-b", &block.to_string()])
        .args(["-E", "lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0"])
        .arg(image)
        .stdin(Stdio::null());
    let output = command.output().map_err(Refusal::of("mkfs.ext4"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Refusal(format!("mkfs.ext4: {}", String::from_utf8_lossy(&output.stderr).trim())))
}
