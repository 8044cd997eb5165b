//! Imports the data export of ChatGPT.

mod message;
mod read;

use std::path::{Path, PathBuf};

use crate::{Format, TransferError, any_source::Probe, import::importable, message_tree, walk};

/// The data export of ChatGPT: the zip archive, the folder, or its file `conversations.json`.
///
/// ```
/// use throughline_core::Persistence;
/// use throughline_memory::MemoryBackend;
/// use throughline_transfer::ChatGpt;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("conversations.json");
/// # std::fs::write(&path, r#"[{"title":"Greetings","create_time":1.5,"current_node":"n2","conversation_id":"c1","mapping":{
/// #     "n1":{"id":"n1","parent":null,"children":["n2"],"message":null},
/// #     "n2":{"id":"n2","parent":"n1","children":[],"message":{"id":"n2","author":{"role":"user"},"create_time":2.5,
/// #         "content":{"content_type":"text","parts":["hello"]}}}}}]"#)?;
/// let db = Persistence::builder().backend(MemoryBackend::new()).build()?;
/// let report = ChatGpt::open(&path)?.import(&db).await?;
/// assert_eq!((report.threads, report.messages), (1, 1));
/// assert_eq!(db.thread("c1").summary().await?.unwrap().title.as_str(), "Greetings");
/// # Ok(())
/// # }
/// ```
///
/// # From trees to threads
/// A conversation is a tree of messages, because a question can be edited and an answer generated again.
///
/// | in the export | in the store |
/// |---|---|
/// | `conversation_id`, or `id` | the thread with the current path, from the root to `current_node` |
/// | another path | a thread `<conversation>/<its first own node>` with all messages from the root, forked from the thread that it leaves |
/// | the id of a node | the id of the message |
/// | `author.role` | the role |
/// | `content.parts` | the content: a text becomes a block of text, any other part a block itself; a content without parts is a block itself |
/// | `create_time`, `update_time` | the times |
/// | `metadata.attachments` | the names of the files as attachment keys |
/// | the other fields | metadata `source.record` of the thread and of the message |
///
/// A later export can have another current path, and another order of the messages. The thread and each fork then continue
/// the path that they have, and another path becomes a fork, so no thread mixes two answers. If the thread was deleted from
/// the store, the other paths of the conversation do not create forks.
#[derive(Debug, Clone)]
pub struct ChatGpt {
    path: PathBuf,
    max_record_bytes: usize,
}

impl ChatGpt {
    /// The most bytes of a conversation, 64 MiB. The import skips and reports a larger one, and never holds it.
    pub const MAX_RECORD_BYTES: usize = 64 << 20;
    /// The most nodes of a conversation.
    pub const MAX_NODES: usize = message_tree::MAX_NODES;
    /// The most messages in all forks of a conversation, because each fork repeats its beginning. Further forks are
    /// skipped and reported.
    pub const MAX_FORK_MESSAGES: usize = message_tree::MAX_FORK_MESSAGES;

    /// Opens a file or a folder. Of a folder and an archive, the import reads the files `conversations.json` and
    /// `conversations-<number>.json`. It blocks on the disk.
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
        has("mapping")
            && (has("current_node") || has("conversation_id") || has("title") || has("create_time"))
    }
}

importable!(ChatGpt, Format::ChatGpt);
