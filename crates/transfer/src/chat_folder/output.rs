//! A file that is written beside its place, synced, and put there.

use std::{
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;
use tokio::task::spawn_blocking;

use crate::TransferError;

/// How what is not finished is called.
pub(super) const UNFINISHED: &str = ".throughline-";

/// So many bytes are written at once.
const AT_ONCE: usize = 1 << 20;

/// A file that is being written. Dropped before the end, it leaves nothing.
pub(super) struct Output {
    path: PathBuf,
    /// Out of here while it is written to.
    file: Option<NamedTempFile>,
    bytes: Vec<u8>,
}

/// Does something that waits for the disk.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, TransferError> + Send + 'static,
) -> Result<T, TransferError> {
    spawn_blocking(work).await.unwrap_or_else(crate::intake::resume)
}

impl Output {
    /// Begins a file for this path, in a folder that is there.
    pub(super) fn create(path: PathBuf) -> Result<Self, TransferError> {
        let file = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempfile_in(folder_of(&path))
            .map_err(TransferError::io(&path, "written"))?;
        Ok(Self { path, file: Some(file), bytes: Vec::new() })
    }

    /// Adds a line.
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

    /// Puts it in its place.
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

/// Makes the names in a folder durable.
pub(super) fn sync(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}
