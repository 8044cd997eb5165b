//! Imports the data export of Claude.ai.

mod message;
mod read;

use std::path::{Path, PathBuf};

use crate::{Format, TransferError, any_source::Probe, import::importable, walk};

/// The data export of Claude.ai: the zip archive, the folder, or its file `conversations.json`.
///
/// ```
/// use throughline_core::Persistence;
/// use throughline_memory::MemoryBackend;
/// use throughline_transfer::ClaudeAi;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("conversations.json");
/// # std::fs::write(&path, r#"[{"uuid":"c1","name":"Greetings","created_at":"2025-06-14T10:00:00Z","chat_messages":[
/// #     {"uuid":"m1","sender":"human","text":"hello","content":[{"type":"text","text":"hello"}],
/// #      "created_at":"2025-06-14T10:00:00Z","attachments":[],"files":[]}]}]"#)?;
/// let db = Persistence::builder().backend(MemoryBackend::new()).build()?;
/// let report = ClaudeAi::open(&path)?.import(&db).await?;
/// assert_eq!((report.threads, report.messages), (1, 1));
/// assert_eq!(db.thread("c1").summary().await?.unwrap().title.as_str(), "Greetings");
/// # Ok(())
/// # }
/// ```
///
/// # From conversations to threads
/// | in the export | in the store |
/// |---|---|
/// | `uuid` of a conversation | the thread |
/// | `name` | the title |
/// | `uuid` of an element of `chat_messages` | the message; one without it gets an id that is made of its bytes |
/// | `sender` | the role: `human` is the user |
/// | `content` | the content, byte for byte; an empty one is a block with `text` |
/// | `created_at`, `updated_at` | the times |
/// | `file_name` of `attachments` and `files` | the attachment keys |
/// | `parent_message_uuid` | the order; a message without it follows the one before it in the list |
/// | another path than that to `current_leaf_message_uuid`, or to the last message | a thread `<conversation>/<its first own message>` with all messages from the first on, forked from the thread that it leaves |
/// | the other fields | metadata `source.record` of the thread and of the message; `text` only if it differs from the texts of `content` |
/// | a message of another sender or without an object | a message of the system with a block `source.record`, and a warning |
///
/// The facts of this format come from exports of 2024 and 2025. The other files of an export, such as `users.json` and
/// `projects.json`, have no conversations.
#[derive(Debug, Clone)]
pub struct ClaudeAi {
    path: PathBuf,
    max_record_bytes: usize,
}

impl ClaudeAi {
    /// The most bytes of a conversation, 64 MiB. The import skips and reports a larger one, and never holds it.
    pub const MAX_RECORD_BYTES: usize = 64 << 20;

    /// Opens a file, a folder or a zip archive. Of a folder and an archive, the import reads the files
    /// `conversations.json`. It blocks on the disk.
    ///
    /// # Errors
    /// [`TransferError::Io`] if it does not exist, and [`TransferError::NotAFile`] if it is neither a file nor a folder.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, TransferError> {
        let path = walk::source(path.as_ref())?;
        Ok(Self { path, max_record_bytes: Self::MAX_RECORD_BYTES })
    }

    /// Sets the most bytes of a conversation, which is held in memory as a whole.
    #[must_use]
    pub const fn with_max_record_bytes(mut self, bytes: usize) -> Self {
        self.max_record_bytes = bytes;
        self
    }

    pub(crate) fn recognizes(probe: &Probe) -> bool {
        probe.names().contains(&"chat_messages")
    }
}

importable!(ClaudeAi, Format::ClaudeAi);
