//! Imports the SQLite sessions of the OpenAI Agents SDK.

mod branches;
mod read;
mod tables;

use std::path::{Path, PathBuf};

use crate::{Format, TransferError, any_source::Probe, import::importable, line_reader, sqlite_file};

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
/// | a session without items, and the rows of `turn_usage` | nothing; [`Report::omitted`](crate::Report::omitted) counts them by table |
///
/// A branch of a branch is forked from that branch. The import only reads the file, in one transaction.
#[derive(Debug, Clone)]
pub struct OpenAiAgents {
    path: PathBuf,
    /// The names of the tables of sessions and messages; `None` for all that the file has.
    tables: Option<(String, String)>,
}

impl OpenAiAgents {
    /// The most bytes of an item, 160 MiB. The import skips and reports a larger one, and never reads it.
    pub const MAX_ITEM_BYTES: usize = line_reader::MAX_BYTES;

    /// Opens a file. The import reads every table with the columns of items, so that the parameters `sessions_table` and
    /// `messages_table` of the session can have any values. It blocks on the disk.
    ///
    /// # Errors
    /// [`TransferError::Io`], [`TransferError::NotAFile`], [`TransferError::Database`], and [`TransferError::NoTable`] or [`TransferError::NoColumns`], which name the table
    /// `agent_messages`.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, TransferError> {
        Self { path: path.as_ref().to_owned(), tables: None }.checked()
    }

    /// Opens a file of which the import reads only these two tables. The table of sessions can be missing.
    ///
    /// # Errors
    /// As for [`open`](Self::open), with the name of the table.
    pub fn open_tables(
        path: impl AsRef<Path>,
        sessions: impl Into<String>,
        messages: impl Into<String>,
    ) -> Result<Self, TransferError> {
        Self { path: path.as_ref().to_owned(), tables: Some((sessions.into(), messages.into())) }.checked()
    }

    fn checked(self) -> Result<Self, TransferError> {
        let db = sqlite_file::open(&self.path)?;
        tables::of(&db, &self)?;
        Ok(self)
    }

    pub(crate) fn recognizes(probe: &Probe) -> bool {
        !probe.tables_with(&tables::REQUIRED).is_empty() || probe.has_table("agent_messages")
    }
}

importable!(OpenAiAgents, Format::OpenAiAgents);
