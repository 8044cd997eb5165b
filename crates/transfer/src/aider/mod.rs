//! Imports the chat history of aider.

mod line;
mod read;

use std::path::{Path, PathBuf};

use crate::{Format, TransferError, any_source::Probe, import::importable, walk};

/// The chat history that aider writes in Markdown: one file, or a folder with them.
///
/// ```
/// use throughline_core::Persistence;
/// use throughline_memory::MemoryBackend;
/// use throughline_transfer::Aider;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join(".aider.chat.history.md");
/// # std::fs::write(&path, "\n# aider chat started at 2025-06-14 10:00:00\n\n> Aider v0.84.0  \n\n#### hello  \n\nhi\n\n")?;
/// let db = Persistence::builder().backend(MemoryBackend::new()).build()?;
/// let report = Aider::open(&path)?.import(&db).await?;
/// assert_eq!((report.threads, report.messages), (1, 3));
/// assert!(db.thread("aider 2025-06-14 10:00:00").summary().await?.is_some());
/// # Ok(())
/// # }
/// ```
///
/// # From lines to messages
/// | in the file | in the store |
/// |---|---|
/// | `# aider chat started at <time>` | the thread `aider <time>`; a further one of the same second in its file is `aider <time>/2`, and so on |
/// | adjacent lines with `#### ` | a message of the user |
/// | each line with `> ` | a message of the role `tool` |
/// | the lines between them, without blank lines around them | a message of the assistant |
/// | the number and the bytes of a message | its id |
/// | the time in the header, as UTC because it has no offset | the time of the thread and of its messages |
///
/// Aider ends the lines of the user and of tools with two spaces. If the first such line of a session has them, then a
/// line without them, such as a heading or a quotation in an answer, belongs to the answer.
///
/// A line at the end of the file without a line break, and an answer there without a blank line after it, is not
/// complete: the import reports it, and a later one imports it. A message that is cut off at the end of one of its other
/// lines looks like a whole one; the whole one then follows it as a message of its own.
///
/// Two projects with a session of the same second share a thread. The facts of this format come from the files that
/// aider 0.30 to 0.86 write.
#[derive(Debug, Clone)]
pub struct Aider {
    path: PathBuf,
    max_message_bytes: usize,
}

impl Aider {
    /// The most bytes of a message, and of a line: 64 MiB. The import skips and reports a longer one, and never holds it.
    pub const MAX_MESSAGE_BYTES: usize = 64 << 20;
    /// The most files of a folder.
    pub const MAX_FILES: usize = 100_000;

    /// Opens a file or a folder. Of a folder, the import reads the files with the name `.aider.chat.history.md`, also in
    /// its subfolders, and does not follow symbolic links. It blocks on the disk.
    ///
    /// # Errors
    /// [`TransferError::Io`] if it does not exist, and [`TransferError::NotAFile`] if it is neither a file nor a folder.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, TransferError> {
        let path = walk::source(path.as_ref())?;
        Ok(Self { path, max_message_bytes: Self::MAX_MESSAGE_BYTES })
    }

    /// Sets the most bytes of a message, which is held in memory as a whole.
    #[must_use]
    pub const fn with_max_message_bytes(mut self, bytes: usize) -> Self {
        self.max_message_bytes = bytes;
        self
    }

    pub(crate) fn recognizes(probe: &Probe) -> bool {
        probe.first_lines().find(|line| !line.trim_ascii().is_empty()).is_some_and(line::is_header)
    }
}

importable!(Aider, Format::Aider);
