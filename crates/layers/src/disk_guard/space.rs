use std::{
    io,
    path::{Path, PathBuf},
};

/// Says how much space is free. Implemented by every closure that fits.
pub trait FreeSpace: Send + Sync + 'static {
    /// The bytes that can still be written. It may block.
    ///
    /// # Errors
    /// Whatever keeps it from saying so.
    fn free(&self) -> io::Result<u64>;
}

impl<F: Fn() -> io::Result<u64> + Send + Sync + 'static> FreeSpace for F {
    fn free(&self) -> io::Result<u64> {
        self()
    }
}

/// The free space of the file system that a directory is on, as far as this process may use it.
///
/// ```
/// use throughline_layers::disk_guard::{Directory, FreeSpace};
///
/// let here = Directory::new(".");
/// assert!(here.free().is_ok());
/// ```
#[derive(Debug, Clone)]
pub struct Directory(PathBuf);

impl Directory {
    /// Of this directory, such as the one of the store's file.
    #[must_use]
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self(path.as_ref().to_owned())
    }
}

impl FreeSpace for Directory {
    fn free(&self) -> io::Result<u64> {
        fs4::available_space(&self.0)
    }
}
