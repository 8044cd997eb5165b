//! Imports the conversations of ShareGPT.

mod export;
mod read;

use std::path::{Path, PathBuf};

use throughline_core::Persistence;

use crate::{
    Format, Report, TransferError, any_source::Probe, export_file, import::importable, line_reader, walk,
};

/// A file of conversations in the form of ShareGPT: JSON lines, or one JSON array.
///
/// ```
/// use throughline_core::Persistence;
/// use throughline_memory::MemoryBackend;
/// use throughline_transfer::ShareGpt;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("conversations.jsonl");
/// # std::fs::write(&path, concat!(
/// #     r#"{"id":"a_0","conversations":[{"from":"human","value":"hello"},{"from":"gpt","value":"hi"}]}"#, "\n"))?;
/// let db = Persistence::builder().backend(MemoryBackend::new()).build()?;
/// let report = ShareGpt::open(&path)?.import(&db).await?;
/// assert_eq!((report.threads, report.messages), (1, 2));
/// assert!(db.thread("a_0").summary().await?.is_some());
/// # Ok(())
/// # }
/// ```
///
/// # From conversations to threads
/// | in the file | in the store |
/// |---|---|
/// | `id` | the thread; a record without one gets an id that is made of its bytes |
/// | the elements of `conversations`, or of `items` | the messages `message-1`, `message-2`, … |
/// | `from`, or `role` | the role: `human` and `user`; `gpt`, `chatgpt`, `bing`, `bard`, `assistant`, `model` and `function_call`; `system`; `tool`, `function`, `function_response` and `observation` |
/// | `value`, or `content` | the content: a text becomes a block of text with the same escapes |
/// | `title` | the title |
/// | other fields | metadata `source.record` of the thread and of the message |
///
/// An element of another role becomes a message of the system with a block of the type `source.record`, and a warning.
/// The format has no times: each message has the time 1970-01-01.
///
/// # From threads to conversations
/// An export writes JSON lines with `id`, `title` and `conversations`. A value is the text of the message; a message
/// without text has the JSON of its content. The report warns of each message with other parts, which the format cannot
/// express. Open messages are left out and reported.
#[derive(Debug, Clone)]
pub struct ShareGpt {
    path: PathBuf,
    max_record_bytes: usize,
}

impl ShareGpt {
    /// The most bytes of a conversation, 160 MiB. The import skips and reports a larger one, and never holds it.
    pub const MAX_RECORD_BYTES: usize = line_reader::MAX_BYTES;

    /// Opens a file. It blocks on the disk.
    ///
    /// # Errors
    /// [`TransferError::Io`] if it does not exist, and [`TransferError::NotAFile`] if it is neither a file nor a folder.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, TransferError> {
        let path = walk::source(path.as_ref())?;
        Ok(Self { path, max_record_bytes: Self::MAX_RECORD_BYTES })
    }

    /// Prepares an export into a file, which is missing or empty: nothing distinguishes an earlier export from other conversations
    /// in this form. It blocks on the disk.
    ///
    /// # Errors
    /// [`TransferError::NotAnExport`] if the file has any content, [`TransferError::SymbolicLink`], [`TransferError::NotAFile`], and
    /// [`TransferError::Io`] if its folder does not exist.
    pub fn create(path: impl AsRef<Path>) -> Result<Self, TransferError> {
        let path = export_file::check_target(path.as_ref(), |_| false)?;
        Ok(Self { path, max_record_bytes: Self::MAX_RECORD_BYTES })
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
        export_file::export(&self.path, export::ShareGptWriter::default(), db).await
    }

    /// Sets the most bytes of a conversation, which is held in memory as a whole.
    #[must_use]
    pub const fn with_max_record_bytes(mut self, bytes: usize) -> Self {
        self.max_record_bytes = bytes;
        self
    }

    pub(crate) fn recognizes(probe: &Probe) -> bool {
        let is_one = |names: &[&str]| names.contains(&"conversations");
        is_one(&probe.names()) || probe.lines().any(|names| is_one(&names))
    }
}

importable!(ShareGpt, Format::ShareGpt);
