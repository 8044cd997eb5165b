//! Imports the exports of LibreChat.

mod message;
mod nested;
mod read;

use std::path::{Path, PathBuf};

use crate::{Format, TransferError, any_source::Probe, import::importable, walk};

/// The JSON exports of LibreChat, each with one conversation: a file, a folder or a zip archive.
///
/// ```
/// use throughline_core::Persistence;
/// use throughline_memory::MemoryBackend;
/// use throughline_transfer::LibreChat;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("Greetings.json");
/// # std::fs::write(&path, r#"{"conversationId":"c1","title":"Greetings","recursive":true,"messagesTree":[
/// #     {"messageId":"m1","parentMessageId":"00000000-0000-0000-0000-000000000000","isCreatedByUser":true,"text":"hello",
/// #      "createdAt":"2025-06-14T10:00:00Z","children":[
/// #         {"messageId":"m2","parentMessageId":"m1","isCreatedByUser":false,"text":"hi","createdAt":"2025-06-14T10:00:01Z","children":[]}]}]}"#)?;
/// let db = Persistence::builder().backend(MemoryBackend::new()).build()?;
/// let report = LibreChat::open(&path)?.import(&db).await?;
/// assert_eq!((report.threads, report.messages), (1, 2));
/// assert_eq!(db.thread("c1").summary().await?.unwrap().title.as_str(), "Greetings");
/// # Ok(())
/// # }
/// ```
///
/// # From trees to threads
/// | in the export | in the store |
/// |---|---|
/// | `conversationId`, `title` | the thread with the current path, and its title |
/// | `messagesTree`, or `messages`: a list, or messages inside one another | the messages |
/// | `messageId` | the message; one without it gets an id that is made of its bytes |
/// | `parentMessageId` | the order; without it, the message that the message is inside of, or the one before it |
/// | another path than that to the last message of the file | a thread `<conversation>/<its first own message>` with all messages from the first on, forked from the thread that it leaves |
/// | `isCreatedByUser`, or the `sender` `User` | the role: the user or the assistant |
/// | `content` | the content, byte for byte; a missing or empty one is a block with `text` |
/// | `createdAt`, `updatedAt` | the times |
/// | `filename` of `files` and `attachments` | the attachment keys |
/// | the other fields | metadata `source.record` of the thread and of the message |
/// | a message without an author or content | a message of the system with a block `source.record`, and a warning |
///
/// A later export can have another last message. The thread then continues the path that it has, and the other path
/// becomes a fork. The facts of this format come from the JSON that LibreChat 0.7 writes and imports, with and without
/// branches, recursive or sequential.
#[derive(Debug, Clone)]
pub struct LibreChat {
    path: PathBuf,
    max_record_bytes: usize,
}

impl LibreChat {
    /// The most bytes of a conversation, 64 MiB. The import skips and reports a larger one, and never holds it.
    pub const MAX_RECORD_BYTES: usize = 64 << 20;

    /// Opens a file, a folder or a zip archive. Of a folder and an archive, the import reads the files with the
    /// extension `json`. It blocks on the disk.
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
        let names = probe.names();
        let has = |name: &str| names.contains(&name);
        has("conversationId") && (has("messages") || has("messagesTree"))
    }
}

importable!(LibreChat, Format::LibreChat);
