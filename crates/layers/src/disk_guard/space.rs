use std::{
    io,
    path::{Path, PathBuf},
};

/// A source of the free space. Every closure with a matching signature implements it.
pub trait FreeSpace: Send + Sync + 'static {
    /// Returns the number of bytes that can still be written. It may block.
    ///
    /// # Errors
    /// The reason why the space cannot be measured.
    fn free(&self) -> io::Result<u64>;
}

impl<F: Fn() -> io::Result<u64> + Send + Sync + 'static> FreeSpace for F {
    fn free(&self) -> io::Result<u64> {
        self()
    }
}

/// The free space of a directory's file system, as far as this process may use it.
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
    /// Measures the file system of this directory, such as that of the store's file.
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
