//! Recognizes the format of a file or a folder by its content.

mod format;
mod json_head;
mod probe;

use std::{path::Path, sync::Arc};

use throughline_core::Persistence;

pub use self::format::{Format, UnknownFormatName};
pub(crate) use self::{format::names as format_names, probe::Probe};
use crate::{
    ChatFolder, LegacySqlite, Progress, Report, TransferError,
    import::{self, Source},
};

/// A source of any known format.
///
/// ```
/// use throughline_core::Persistence;
/// use throughline_memory::MemoryBackend;
/// use throughline_transfer::{AnySource, Format};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("conversations.jsonl");
/// # std::fs::write(&path, r#"{"id":"a","conversations":[{"from":"human","value":"hello"}]}"#)?;
/// let source = AnySource::detect(&path)?;
/// assert_eq!(source.format(), Format::ShareGpt);
///
/// let db = Persistence::builder().backend(MemoryBackend::new()).build()?;
/// let report = source.import(&db).await?;
/// assert_eq!((report.threads, report.messages), (1, 1));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct AnySource {
    format: Format,
    source: Arc<dyn Source>,
    progress: Progress,
}

impl AnySource {
    pub(crate) fn new(format: Format, source: impl Source) -> Self {
        Self { format, source: Arc::new(source), progress: Progress::new() }
    }

    /// Opens a file or a folder in the format that its content shows; names and extensions do not matter. It reads the
    /// first MiB of a file, and at most [`Self::MAX_PROBED_FILES`] files of a folder. It blocks on the disk.
    ///
    /// # Errors
    /// [`TransferError::UnknownFormat`] if no format matches, [`TransferError::Io`] if the path, its folder or its archive cannot be
    /// read, [`TransferError::NotAFile`], and the errors of opening a source of the format.
    pub fn detect(path: impl AsRef<Path>) -> Result<Self, TransferError> {
        let path = path.as_ref();
        let probe = Probe::of(path)?;
        match Format::of(&probe)? {
            Some(format) => Self::open(format, path),
            None => Err(TransferError::UnknownFormat { path: path.to_owned() }),
        }
    }

    /// Opens a file or a folder as a source of this format. It blocks on the disk.
    ///
    /// # Errors
    /// [`TransferError::Io`], [`TransferError::NotAFile`], and the errors of opening a source of the format.
    pub fn open(format: Format, path: impl AsRef<Path>) -> Result<Self, TransferError> {
        format.open(path.as_ref())
    }

    /// The most files of a folder that [`detect`](Self::detect) reads.
    pub const MAX_PROBED_FILES: usize = 1_000;

    /// Returns the format.
    #[must_use]
    pub const fn format(&self) -> Format {
        self.format
    }

    /// Counts the bytes and messages of the next transfer in `progress`.
    #[must_use]
    pub fn with_progress(mut self, progress: Progress) -> Self {
        self.progress = progress;
        self
    }

    /// Reads everything and writes nothing. Returns the report of an import into an empty store.
    ///
    /// # Errors
    /// The [`TransferError`] of a file that cannot be read at all.
    ///
    /// # Cancel safety
    /// It only reads. If it is dropped, the reading thread continues to its end without effect.
    pub async fn plan(&self) -> Result<Report, TransferError> {
        import::plan(Arc::clone(&self.source), &self.progress).await
    }

    /// Imports the messages that the store does not have, a few hundred at a time, through the pipeline. A repeated
    /// import adds only what is new in the source. A call that a quota refuses for a stated time is repeated after that time, for up
    /// to a minute.
    ///
    /// # Errors
    /// As for [`plan`](Self::plan), and [`TransferError::Store`] if the store fails. Imported messages stay, and a
    /// repeated import continues.
    ///
    /// # Cancel safety
    /// A dropped import stops between two calls of the store, and its current thread stays hidden.
    pub async fn import(&self, db: &Persistence) -> Result<Report, TransferError> {
        import::import(Arc::clone(&self.source), db, &self.progress).await
    }
}

impl From<LegacySqlite> for AnySource {
    fn from(source: LegacySqlite) -> Self {
        Self::new(Format::LegacySqlite, source)
    }
}

impl From<ChatFolder> for AnySource {
    fn from(source: ChatFolder) -> Self {
        Self::new(Format::ChatFolder, source)
    }
}
