//! The native format: every thread of a tenant as JSON lines.

mod export;
mod line;
mod read;

use std::path::{Path, PathBuf};

use throughline_core::Persistence;

use crate::{
    Format, Report, TransferError, any_source::Probe, export_file, import::importable, line_reader, walk,
};

/// A file in the native format: JSON lines with every thread of a tenant. An import creates the same threads with the
/// same messages.
///
/// ```
/// use throughline_core::{NewMessage, Persistence};
/// use throughline_memory::MemoryBackend;
/// use throughline_transfer::Ndjson;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("store.ndjson");
/// let db = Persistence::builder().backend(MemoryBackend::new()).build()?;
/// db.thread("t").add(NewMessage::user("hello")).await?;
/// let written = Ndjson::create(&path)?.export(&db).await?;
///
/// let other = Persistence::builder().backend(MemoryBackend::new()).build()?;
/// let read = Ndjson::open(&path)?.import(&other).await?;
/// assert_eq!((written.messages, read.messages), (1, 1));
/// # Ok(())
/// # }
/// ```
///
/// The first line is `{"throughline":"ndjson","version":1}`. Then each thread has a line `{"thread":…}`, and each of its
/// messages a line `{"message":…}` with an [`ImportRow`](throughline_core::messages::ImportRow), in the order of the
/// thread. A value whose JSON has line breaks is in a string. An open message has its `state` in addition: the import
/// reports it and does not import it. The guide *The native format* lists every field, and what the format omits.
#[derive(Debug, Clone)]
pub struct Ndjson {
    path: PathBuf,
    max_line_bytes: usize,
}

impl Ndjson {
    /// The most bytes of a line, 160 MiB. The import skips and reports a longer line, and never holds it.
    pub const MAX_LINE_BYTES: usize = line_reader::MAX_BYTES;
    /// The version of the format that this crate writes.
    pub const VERSION: u64 = 1;

    /// Opens a file for an import. It blocks on the disk.
    ///
    /// # Errors
    /// [`TransferError::Io`] if it does not exist, and [`TransferError::NotAFile`] if it is neither a file nor a folder.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, TransferError> {
        let path = walk::source(path.as_ref())?;
        Ok(Self { path, max_line_bytes: Self::MAX_LINE_BYTES })
    }

    /// Prepares an export into a file, which is missing or empty, or an earlier export. It blocks on the disk.
    ///
    /// # Errors
    /// [`TransferError::NotAnExport`] if the file is something else, [`TransferError::SymbolicLink`], [`TransferError::NotAFile`], and
    /// [`TransferError::Io`] if its folder does not exist.
    pub fn create(path: impl AsRef<Path>) -> Result<Self, TransferError> {
        let path = export_file::check_target(path.as_ref(), |path| export_file::is_of(path, Format::Ndjson))?;
        Ok(Self { path, max_line_bytes: Self::MAX_LINE_BYTES })
    }

    /// Writes every listed thread of the tenant. The file has a temporary name until it is complete and synced, so a
    /// reader finds either the old file or the new one. Only the owner can read it.
    ///
    /// # Errors
    /// [`TransferError::Io`], and [`TransferError::Store`] if a read fails.
    ///
    /// # Cancel safety
    /// A dropped export leaves the old file.
    pub async fn export(&self, db: &Persistence) -> Result<Report, TransferError> {
        export_file::export(&self.path, export::NdjsonWriter, db).await
    }

    /// Sets the most bytes of a line, which is held in memory as a whole.
    #[must_use]
    pub const fn with_max_line_bytes(mut self, bytes: usize) -> Self {
        self.max_line_bytes = bytes;
        self
    }

    pub(crate) fn recognizes(probe: &Probe) -> bool {
        probe.lines().next().is_some_and(|names| names.first() == Some(&"throughline"))
    }
}

importable!(Ndjson, Format::Ndjson);
