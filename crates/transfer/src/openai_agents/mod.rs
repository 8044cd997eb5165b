//! Imports the SQLite sessions of the OpenAI Agents SDK.

mod read;

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use crate::{Format, TransferError, any_source::Probe, import::importable};

/// The sessions of the OpenAI Agents SDK in a SQLite file: those of `SQLiteSession`, of `SQLAlchemySession`, and the
/// branches of `AdvancedSQLiteSession`.
///
/// ```
/// use throughline_core::Persistence;
/// use throughline_memory::MemoryBackend;
/// use throughline_transfer::OpenAiAgents;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("sessions.db");
/// # rusqlite::Connection::open(&path)?.execute_batch(r#"
/// #     CREATE TABLE agent_sessions (session_id TEXT PRIMARY KEY, created_at TIMESTAMP, updated_at TIMESTAMP);
/// #     CREATE TABLE agent_messages (id INTEGER PRIMARY KEY, session_id TEXT, message_data TEXT, created_at TIMESTAMP);
/// #     INSERT INTO agent_messages VALUES (1, 'user-7', '{"role":"user","content":"hello"}', '2025-10-29 00:59:38');
/// # "#)?;
/// let db = Persistence::builder().backend(MemoryBackend::new()).build()?;
/// let report = OpenAiAgents::open(&path)?.import(&db).await?;
/// assert_eq!((report.threads, report.messages), (1, 1));
/// assert!(db.thread("user-7").summary().await?.is_some());
/// # Ok(())
/// # }
/// ```
///
/// # From rows to messages
/// | in the file | in the store |
/// |---|---|
/// | `session_id` | the thread |
/// | `id` of a message | the id, `item-<id>` |
/// | `message_data` | an item: a message with its role and the parts of its `content`; another item is a block itself, of the role `tool` for results and `assistant` otherwise |
/// | `created_at` | the time of creation |
/// | a branch of `message_structure` | a thread of its own, `<session>/<branch>`, with all messages of the branch, forked from the session at the last message that both have; `main` is the session itself |
/// | an item that is no JSON or of an unknown shape | reported, and kept as a block `source.record` if it is JSON |
///
/// The import only reads the file, in one transaction.
#[derive(Debug, Clone)]
pub struct OpenAiAgents {
    path: PathBuf,
    sessions: String,
    messages: String,
}

impl OpenAiAgents {
    /// The most bytes of an item, 256 MiB. The import skips and reports a larger one, and never reads it.
    pub const MAX_ITEM_BYTES: usize = 256 << 20;

    /// Opens a file with the tables `agent_sessions` and `agent_messages`. It blocks on the disk.
    ///
    /// # Errors
    /// [`TransferError::Database`], [`TransferError::NoTable`] and [`TransferError::NoColumns`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, TransferError> {
        Self::open_tables(path, "agent_sessions", "agent_messages")
    }

    /// Opens a file whose tables have other names: the parameters `sessions_table` and `messages_table` of the session.
    /// The table of sessions can be missing.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_tables(
        path: impl AsRef<Path>,
        sessions: impl Into<String>,
        messages: impl Into<String>,
    ) -> Result<Self, TransferError> {
        let source =
            Self { path: path.as_ref().to_owned(), sessions: sessions.into(), messages: messages.into() };
        read::check(&source.connect()?, &source)?;
        Ok(source)
    }

    fn connect(&self) -> Result<Connection, TransferError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Connection::open_with_flags(&self.path, flags).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: rusqlite::Error) -> TransferError {
        TransferError::Database { path: self.path.clone(), source }
    }

    pub(crate) fn recognizes(probe: &Probe) -> bool {
        probe.has_table("agent_messages")
    }
}

importable!(OpenAiAgents, Format::OpenAiAgents);
