//! Writes a file under a temporary name, syncs it, and renames it.

use std::{
    fs::File,
    io::{Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;
use tokio::task::spawn_blocking;

use crate::TransferError;

/// The prefix of temporary names.
pub(crate) const UNFINISHED: &str = ".throughline-";

/// The bytes of one write.
const AT_ONCE: usize = 1 << 20;

/// A file that is being written. If it is dropped before the end, it leaves nothing.
pub(crate) struct Output {
    path: PathBuf,
    /// None during a write.
    file: Option<NamedTempFile>,
    bytes: Vec<u8>,
    /// The bytes in the file.
    written: u64,
}

/// Runs work that blocks on the disk.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, TransferError> + Send + 'static,
) -> Result<T, TransferError> {
    spawn_blocking(work).await.unwrap_or_else(crate::import::resume)
}

impl Output {
    /// Creates a temporary file for this path, in an existing folder.
    pub(crate) fn create(path: PathBuf) -> Result<Self, TransferError> {
        let file = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempfile_in(folder_of(&path))
            .map_err(TransferError::io(&path, "written"))?;
        Ok(Self { path, file: Some(file), bytes: Vec::new(), written: 0 })
    }

    /// Appends a line.
    pub(crate) async fn line(&mut self, line: &str) -> Result<(), TransferError> {
        self.text(line).await?;
        self.text("\n").await
    }

    /// Returns the number of bytes so far.
    pub(crate) const fn len(&self) -> u64 {
        self.written + self.bytes.len() as u64
    }

    /// Removes everything after the first `len` bytes.
    pub(crate) async fn cut(&mut self, len: u64) -> Result<(), TransferError> {
        if let Some(kept) = len.checked_sub(self.written) {
            self.bytes.truncate(usize::try_from(kept).unwrap_or(usize::MAX));
            return Ok(());
        }
        self.bytes.clear();
        let path = self.path.clone();
        let Some(mut file) = self.file.take() else { return Ok(()) };
        let cut = move || {
            let cut = file.as_file().set_len(len).and_then(|()| file.seek(SeekFrom::Start(len)));
            cut.map(|_| file).map_err(TransferError::io(path, "written"))
        };
        self.file = Some(blocking(cut).await?);
        self.written = len;
        Ok(())
    }

    /// Appends text.
    pub(crate) async fn text(&mut self, text: &str) -> Result<(), TransferError> {
        self.bytes.extend_from_slice(text.as_bytes());
        if self.bytes.len() < AT_ONCE {
            return Ok(());
        }
        let (bytes, path) = (std::mem::take(&mut self.bytes), self.path.clone());
        let len = bytes.len() as u64;
        let Some(mut file) = self.file.take() else { return Ok(()) };
        let write = move || match file.write_all(&bytes) {
            Ok(()) => Ok(file),
            Err(error) => Err(TransferError::io(path, "written")(error)),
        };
        self.written += len;
        self.file = Some(blocking(write).await?);
        Ok(())
    }

    /// Syncs the file and renames it to its path.
    pub(crate) async fn finish(self) -> Result<(), TransferError> {
        blocking(move || self.put()).await
    }

    fn put(self) -> Result<(), TransferError> {
        let Self { path, file, bytes, written: _ } = self;
        let Some(mut file) = file else { return Ok(()) };
        file.write_all(&bytes)
            .and_then(|()| file.as_file().sync_all())
            .and_then(|()| file.persist(&path).map_err(|error| error.error))
            .and_then(|_| sync(folder_of(&path)))
            .map_err(TransferError::io(&path, "written"))
    }
}

/// Writes a whole file at once.
pub(crate) fn write(path: PathBuf, text: &str) -> Result<(), TransferError> {
    let mut output = Output::create(path)?;
    output.bytes = text.as_bytes().to_vec();
    output.put()
}

/// Returns the folder of a file.
pub(crate) fn folder_of(path: &Path) -> &Path {
    // The parent of a bare file name is empty.
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Syncs a folder, so that its names are durable.
pub(crate) fn sync(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}
