//! Exports conversations as text to read.

mod export;

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use throughline_core::Persistence;

use crate::{Report, TransferError, export_file};

/// The first line of an export, by which a later one recognizes the file.
const MARK: &str = "<!-- conversations, exported by Throughline -->";

/// A Markdown file with every thread of a tenant, for a person to read. It cannot be imported.
///
/// ```
/// use throughline_core::{NewMessage, Persistence};
/// use throughline_memory::MemoryBackend;
/// use throughline_transfer::Markdown;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("chats.md");
/// let db = Persistence::builder().backend(MemoryBackend::new()).build()?;
/// db.thread("t").add(NewMessage::user("hello")).await?;
/// Markdown::create(&path)?.export(&db).await?;
/// assert!(std::fs::read_to_string(&path)?.contains("hello"));
/// # Ok(())
/// # }
/// ```
///
/// Each thread is a heading with its title and its id, each message a heading with its role and its time. A text is
/// written as it is. Other parts, such as tool calls, are blocks of JSON.
#[derive(Debug, Clone)]
pub struct Markdown {
    path: PathBuf,
}

impl Markdown {
    /// Prepares an export into a file, which is missing or empty, or an earlier export. It blocks on the disk.
    ///
    /// # Errors
    /// [`TransferError::NotAnExport`] if the file is something else, [`TransferError::SymbolicLink`], [`TransferError::NotAFile`], and
    /// [`TransferError::Io`] if its folder does not exist.
    pub fn create(path: impl AsRef<Path>) -> Result<Self, TransferError> {
        let path = export_file::check_target(path.as_ref(), is_export)?;
        Ok(Self { path })
    }

    /// Writes every listed thread of the tenant. The file has a temporary name until it is complete and synced. Only the
    /// owner can read it.
    ///
    /// # Errors
    /// [`TransferError::Io`], and [`TransferError::Store`] if a read fails.
    ///
    /// # Cancel safety
    /// A dropped export leaves the old file.
    pub async fn export(&self, db: &Persistence) -> Result<Report, TransferError> {
        export_file::export(&self.path, export::MarkdownWriter, db).await
    }
}

fn is_export(path: &Path) -> bool {
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MARK.len() as u64).read_to_end(&mut head));
    read.is_ok() && head == MARK.as_bytes()
}
