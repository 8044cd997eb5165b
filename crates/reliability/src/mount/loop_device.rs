//! A loop device: a file as a block device.

use std::{
    fs::{File, OpenOptions},
    io,
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
};

use rustix::{
    io::Errno,
    ioctl::{Ioctl, IoctlOutput, Opcode, Setter, ioctl},
};

use super::Refusal;

/// `LOOP_CTL_GET_FREE` and `LOOP_CONFIGURE` of `linux/loop.h`.
const GET_FREE: Opcode = 0x4c82;
const CONFIGURE: Opcode = 0x4c0a;

/// `LO_FLAGS_AUTOCLEAR`: the device releases its file after its last user has closed it.
const AUTOCLEAR: u32 = 4;

/// How often another process may take the free device first.
const ATTEMPTS: u32 = 100;

/// A loop device. It releases its file when neither this value nor a mount uses it.
#[derive(Debug)]
pub(super) struct LoopDevice {
    path: PathBuf,
    _device: File,
}

/// `struct loop_info64`.
#[repr(C)]
struct Info {
    numbers: [u64; 5],
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config`.
#[repr(C)]
struct Config {
    fd: u32,
    block_size: u32,
    info: Info,
    reserved: [u64; 8],
}

/// The request whose result is the return value of the call.
struct GetFree;

// SAFETY: the call takes no argument and answers a number.
unsafe impl Ioctl for GetFree {
    type Output = IoctlOutput;
    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        GET_FREE
    }

    fn as_ptr(&mut self) -> *mut std::ffi::c_void {
        std::ptr::null_mut()
    }

    unsafe fn output_from_ptr(
        output: IoctlOutput,
        _: *mut std::ffi::c_void,
    ) -> rustix::io::Result<Self::Output> {
        Ok(output)
    }
}

impl LoopDevice {
    pub(super) fn attach(image: &File) -> Result<Self, Refusal> {
        let open = |path: &Path| OpenOptions::new().read(true).write(true).open(path);
        let control =
            open(Path::new("/dev/loop-control")).map_err(Refusal::of("the control of loop devices"))?;
        for _ in 0..ATTEMPTS {
            // SAFETY: the device is the control of the loop devices, which knows the call.
            let number = unsafe { ioctl(&control, GetFree) }.map_err(Refusal::of("a free loop device"))?;
            let path = PathBuf::from(format!("/dev/loop{number}"));
            let device = open(&path).map_err(Refusal::of("a loop device"))?;
            match configure(&device, image) {
                Ok(()) => return Ok(Self { path, _device: device }),
                // Another process has taken the device first.
                Err(Errno::BUSY) => {}
                Err(error) => return Err(Refusal::of("a file as a loop device")(error)),
            }
        }
        Err(Refusal::of("a free loop device")(io::Error::from(Errno::BUSY)))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

fn configure(device: &File, image: &File) -> rustix::io::Result<()> {
    let info = Info {
        numbers: [0; 5],
        number: 0,
        encrypt_type: 0,
        encrypt_key_size: 0,
        flags: AUTOCLEAR,
        file_name: [0; 64],
        crypt_name: [0; 64],
        encrypt_key: [0; 32],
        init: [0; 2],
    };
    let fd = u32::try_from(image.as_raw_fd()).expect("an open file has a descriptor");
    let config = Config { fd, block_size: 0, info, reserved: [0; 8] };
    // SAFETY: the call takes a pointer to the structure that `Config` is laid out as.
    let call = unsafe { Setter::<CONFIGURE, Config>::new(config) };
    // SAFETY: the device is a loop device, which knows the call.
    unsafe { ioctl(device, call) }
}

const _: () = assert!(size_of::<Info>() == 232 && size_of::<Config>() == 304, "as in linux/loop.h");
