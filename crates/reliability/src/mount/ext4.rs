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

/// `EXT4_GOING_FLAGS_NOLOGFLUSH`: not even the journal is written any more.
const WITHOUT_LOG: u32 = 2;

/// A disk with ext4 on it, in a file.
#[derive(Debug)]
pub struct Ext4 {
    // Unmounted before the device under it is let go of.
    point: Point,
    device: LoopDevice,
}

impl Ext4 {
    /// Of so many bytes, in blocks of `block`: 1024 or 4096 bytes.
    ///
    /// # Errors
    /// Why there is none here.
    pub fn mount(bytes: u64, block: u32) -> Result<Self, Refusal> {
        let image = tempfile::NamedTempFile::new().map_err(Refusal::of("the file of a disk"))?;
        image.as_file().set_len(bytes).map_err(Refusal::of("the file of a disk"))?;
        format(image.path(), block)?;
        // The device holds the file, whose name is not needed any more.
        let device = LoopDevice::attach(image.as_file())?;
        let point = Point::mount(source(&device))?;
        Ok(Self { point, device })
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.point.path()
    }

    /// Takes its power away: from now on nothing is written to it. What is in memory only is gone when it is
    /// [mounted again](Self::mount_again).
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn shut_down(&self) -> io::Result<()> {
        let directory = File::open(self.path())?;
        // SAFETY: the call takes a pointer to 32 bits.
        let call = unsafe { Setter::<SHUTDOWN, u32>::new(WITHOUT_LOG) };
        // SAFETY: the directory is on ext4, which knows the call.
        Ok(unsafe { ioctl(directory, call) }?)
    }

    /// Unmounts it and mounts it again, which recovers what was written to it.
    ///
    /// # Errors
    /// When somebody still uses it, or what the kernel answers.
    pub fn mount_again(&self) -> io::Result<()> {
        Ok(self.point.again(source(&self.device))?)
    }

    /// Mounts it read-only. The kernel refuses that while a file on it is open for writing.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn forbid_writing(&self) -> io::Result<()> {
        Ok(self.point.remount(MountFlags::RDONLY, c"")?)
    }

    /// Mounts it for writing again.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn allow_writing(&self) -> io::Result<()> {
        Ok(self.point.remount(MountFlags::empty(), c"")?)
    }

    /// Makes it read-only under those who write on it, as ext4 itself does with a disk that fails. It is that until it
    /// is [mounted again](Self::mount_again).
    ///
    /// # Errors
    /// What the kernel answers.
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
