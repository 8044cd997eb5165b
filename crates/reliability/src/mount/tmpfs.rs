use std::{ffi::CString, path::Path};

use super::{
    Refusal,
    point::{Point, Source},
};

/// A disk in memory.
#[derive(Debug)]
pub struct Tmpfs {
    point: Point,
}

impl Tmpfs {
    /// Mounts a file system of this many bytes.
    ///
    /// # Errors
    /// Returns the reason why it cannot be mounted here.
    pub fn mount(bytes: u64) -> Result<Self, Refusal> {
        let options = CString::new(format!("size={bytes},mode=0777")).expect("there is no NUL in it");
        let source = Source { device: Path::new("tmpfs"), kind: c"tmpfs", options: &options };
        Ok(Self { point: Point::mount(source)? })
    }

    /// Returns the mount point.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.point.path()
    }
}
