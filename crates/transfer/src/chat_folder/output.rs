//! Writes a file under a temporary name, syncs it, and renames it.

use std::{
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;
use tokio::task::spawn_blocking;

use crate::TransferError;

/// The prefix of temporary names.
pub(super) const UNFINISHED: &str = ".throughline-";

/// The bytes of one write.
const AT_ONCE: usize = 1 << 20;

/// A file that is being written. If it is dropped before the end, it leaves nothing.
pub(super) struct Output {
    path: PathBuf,
    /// None during a write.
    file: Option<NamedTempFile>,
    bytes: Vec<u8>,
}

/// Runs work that blocks on the disk.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, TransferError> + Send + 'static,
) -> Result<T, TransferError> {
    spawn_blocking(work).await.unwrap_or_else(crate::import::resume)
}

impl Output {
    /// Creates a temporary file for this path, in an existing folder.
    pub(super) fn create(path: PathBuf) -> Result<Self, TransferError> {
        let file = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempfile_in(folder_of(&path))
            .map_err(TransferError::io(&path, "written"))?;
        Ok(Self { path, file: Some(file), bytes: Vec::new() })
    }

    /// Appends a line.
    pub(super) async fn line(&mut self, line: &str) -> Result<(), TransferError> {
        self.bytes.extend_from_slice(line.as_bytes());
        self.bytes.push(b'\n');
        if self.bytes.len() < AT_ONCE {
            return Ok(());
        }
        let (bytes, path) = (std::mem::take(&mut self.bytes), self.path.clone());
        let Some(mut file) = self.file.take() else { return Ok(()) };
        let write = move || match file.write_all(&bytes) {
            Ok(()) => Ok(file),
            Err(error) => Err(TransferError::io(path, "written")(error)),
        };
        self.file = Some(blocking(write).await?);
        Ok(())
    }

    /// Syncs the file and renames it to its path.
    pub(super) async fn finish(self) -> Result<(), TransferError> {
        blocking(move || self.put()).await
    }

    fn put(self) -> Result<(), TransferError> {
        let Self { path, file, bytes } = self;
        let Some(mut file) = file else { return Ok(()) };
        file.write_all(&bytes)
            .and_then(|()| file.as_file().sync_all())
            .and_then(|()| file.persist(&path).map_err(|error| error.error))
            .and_then(|_| sync(folder_of(&path)))
            .map_err(TransferError::io(&path, "written"))
    }
}

/// Writes a whole file at once.
pub(super) fn write(path: PathBuf, text: &str) -> Result<(), TransferError> {
    let mut output = Output::create(path)?;
    output.bytes = text.as_bytes().to_vec();
    output.put()
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

/// Syncs a folder, so that its names are durable.
pub(super) fn sync(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}
