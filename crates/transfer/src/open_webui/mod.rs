//! Imports the chats of Open WebUI.

mod chat;
mod database;
mod details;
mod message;
mod output;
mod read;
mod row_json;

use std::path::{Path, PathBuf};

use crate::{Format, TransferError, any_source::Probe, import::importable, message_tree, sqlite_file, walk};

/// The chats of Open WebUI: its database `webui.db`, or an export of chats.
///
/// ```
/// use throughline_core::Persistence;
/// use throughline_memory::MemoryBackend;
/// use throughline_transfer::OpenWebUi;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("webui.db");
/// # rusqlite::Connection::open(&path)?.execute_batch(r#"
/// #     CREATE TABLE chat (id VARCHAR PRIMARY KEY, user_id VARCHAR, title TEXT, created_at BIGINT, chat JSON);
/// #     INSERT INTO chat VALUES ('c1', 'u1', 'Greetings', 1761699578, '{"history":{"currentId":"m1","messages":{
/// #         "m1":{"id":"m1","parentId":null,"childrenIds":[],"role":"user","content":"hello","timestamp":1761699578}}}}');
/// # "#)?;
/// let db = Persistence::builder().backend(MemoryBackend::new()).build()?;
/// let report = OpenWebUi::open(&path)?.import(&db).await?;
/// assert_eq!((report.threads, report.messages), (1, 1));
/// assert_eq!(db.thread("c1").summary().await?.unwrap().title.as_str(), "Greetings");
/// # Ok(())
/// # }
/// ```
///
/// # From chats to threads
/// A chat is a tree of messages: an edited question, a repeated answer and the answers of several models are children of
/// one message.
///
/// | in the file | in the store |
/// |---|---|
/// | `id`, `title`, `created_at`, `archived` of a chat | the thread with the current path, its title, its time and its archive flag |
/// | `history.messages` of the column `chat`, or its list `messages` | the messages |
/// | a row of `chat_message` that the column `chat` does not have | a message, too |
/// | `current_message_id`, or `history.currentId` | the end of the current path |
/// | another path | a thread `<chat>/<its first own message>` with all messages from the root, forked from the thread that it leaves |
/// | `content` | the content: a block of text, or its blocks. A `<details>` block of reasoning, of a tool call or of the code interpreter becomes a block: `thinking`, `tool_use` with `tool_result`, `code_interpreter` |
/// | `output` | the content, if there is one: the parts of its messages, and each other item as a block |
/// | `error` of a message without content | a block `error` |
/// | `files` | the names of the files as attachment keys |
/// | `timestamp` | the time; seconds, or smaller units if it is that large |
/// | an answer with `done: false` | an abandoned message |
/// | the other fields, such as `model`, `sources` and `usage`, and those of the chat, such as `pinned`, `folder_id` and `meta` with the tags | metadata `source.record` of the message and of the thread, with the name of the `folder` and of the user |
/// | a copy of a chat for a link, and rows of `chat_message` without a chat | nothing; [`Report::omitted`](crate::Report::omitted) counts them |
///
/// The facts of this format come from Open WebUI 0.1 to 0.12. A database is only read, in one transaction. For a file in
/// WAL mode, SQLite itself may leave `-wal` and `-shm` files. An export is an array of chats, or one chat on each line.
#[derive(Debug, Clone)]
pub struct OpenWebUi {
    path: PathBuf,
    is_database: bool,
    max_record_bytes: usize,
}

impl OpenWebUi {
    /// The most bytes of a chat with its rows, 64 MiB. The import skips and reports a larger one, and never holds it.
    pub const MAX_RECORD_BYTES: usize = 64 << 20;
    /// The most messages of a chat.
    pub const MAX_NODES: usize = message_tree::MAX_NODES;

    /// Opens a database or an export. It blocks on the disk.
    ///
    /// # Errors
    /// [`TransferError::Io`] and [`TransferError::NotAFile`]; for a database [`TransferError::Database`],
    /// [`TransferError::NoTable`] and [`TransferError::NoColumns`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, TransferError> {
        let path = walk::source(path.as_ref())?;
        let is_database = sqlite_file::is_one(&path)?;
        if is_database {
            database::check(&path)?;
        }
        Ok(Self { path, is_database, max_record_bytes: Self::MAX_RECORD_BYTES })
    }

    /// Sets the most bytes of a chat, which is held in memory as a whole.
    #[must_use]
    pub const fn with_max_record_bytes(mut self, bytes: usize) -> Self {
        self.max_record_bytes = bytes;
        self
    }

    pub(crate) fn recognizes(probe: &Probe) -> bool {
        let names = probe.names();
        let has = |name: &str| names.contains(&name);
        let is_export = has("chat") && ["user_id", "share_id", "folder_id"].into_iter().any(has);
        let is_old_export = has("history") && has("messages") && has("models");
        is_export
            || is_old_export
            || probe
                .tables_with(&["id", "user_id", "title", "chat"])
                .iter()
                .any(|table| table == database::CHAT)
    }
}

importable!(OpenWebUi, Format::OpenWebUi);
