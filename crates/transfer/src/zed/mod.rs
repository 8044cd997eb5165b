//! Imports the threads of Zed.

mod blocks;
mod database;
mod message;
mod read;
mod text_thread;
mod thread;

use std::path::{Path, PathBuf};

use crate::{Format, TransferError, any_source::Probe, import::importable, sqlite_file, walk};

/// The threads of Zed: its database `threads.db`, its text threads `*.zed.json`, or a folder with them.
///
/// ```
/// use throughline_core::Persistence;
/// use throughline_memory::MemoryBackend;
/// use throughline_transfer::Zed;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("threads.db");
/// # rusqlite::Connection::open(&path)?.execute_batch(r#"
/// #     CREATE TABLE threads (id TEXT PRIMARY KEY, summary TEXT, updated_at TEXT, data_type TEXT, data BLOB);
/// #     INSERT INTO threads VALUES ('t1', 'Greetings', '2025-10-29T00:59:38Z', 'json', '{"version":"0.3.0","title":"Greetings",
/// #         "messages":[{"User":{"id":"u1","content":[{"Text":"hello"}]}}],"updated_at":"2025-10-29T00:59:38Z"}');
/// # "#)?;
/// let db = Persistence::builder().backend(MemoryBackend::new()).build()?;
/// let report = Zed::open(&path)?.import(&db).await?;
/// assert_eq!((report.threads, report.messages), (1, 1));
/// assert_eq!(db.thread("t1").summary().await?.unwrap().title.as_str(), "Greetings");
/// # Ok(())
/// # }
/// ```
///
/// # From threads to messages
/// | in the file | in the store |
/// |---|---|
/// | `id` and `summary` of a row | the thread and its title |
/// | `created_at`, or `updated_at` | the time of the thread; messages have none, and get the time of the last change, `updated_at` |
/// | `User`, `Agent` | a message of the user or the assistant |
/// | `Resume` | a message of the user with a block `resume` |
/// | `Compaction` | a message of the system with the summary |
/// | the `id` of a user message | the id; the messages after it have ids `<id>/<number>` |
/// | `Text`, `Thinking`, `RedactedThinking`, `ToolUse`, `Mention`, `Image` | blocks `text`, `thinking`, `redacted_thinking`, `tool_use`, `mention`, `image` with the same fields |
/// | `tool_results` | blocks `tool_result` at the end of the same message |
/// | the path of a mention, and the name of a pasted image | attachment keys |
/// | `parent_id`, or the parent of a subagent | metadata `source.parent` of the thread |
/// | the other fields, such as `model`, the usage of tokens and the folders | metadata `source.record` of the thread |
/// | a message of versions before 0.3, with `segments`, `tool_uses` and `tool_results` | the same blocks, with the id `message-<id>` |
/// | a message of an unknown type | a message of the system with a block `source.record`, and a warning |
///
/// The title of a text thread is its `summary`, and its messages are parts of its `text`. An empty message is omitted. The
/// file has no times: its messages get the time of its last change.
///
/// In Zed, an edited question replaces the messages behind it. The import adds the new ones, and keeps those of before. A
/// thread that Zed converted from a version before 0.3 has other ids than before; if the store has it already, the report
/// names it as another conversation with the same id.
///
/// The facts of this format come from the source of Zed: threads of the versions 0.1 to 0.3 and those without a version,
/// and text threads of the versions 0.1 to 0.4. A newer version is reported, and what is known of it is read. A database
/// is only read, in one transaction. For a file in WAL mode, SQLite itself may leave `-wal` and `-shm` files.
#[derive(Debug, Clone)]
pub struct Zed {
    path: PathBuf,
    max_record_bytes: usize,
}

impl Zed {
    /// The most bytes of a thread, 64 MiB, compressed and decompressed. The import skips and reports a larger one, and never
    /// holds it.
    pub const MAX_RECORD_BYTES: usize = 64 << 20;
    /// The most messages of a thread. The report names a thread with more, and the import omits the others.
    pub const MAX_MESSAGES: usize = 100_000;
    /// The most files of a folder.
    pub const MAX_FILES: usize = 100_000;

    /// Opens a database, a text thread, or a folder. Of a folder, the import reads the files `threads.db` and `*.zed.json`,
    /// also in its subfolders, and does not follow symbolic links. It blocks on the disk.
    ///
    /// # Errors
    /// [`TransferError::Io`] and [`TransferError::NotAFile`]; for a database [`TransferError::Database`], [`TransferError::NoTable`]
    /// and [`TransferError::NoColumns`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, TransferError> {
        let path = walk::source(path.as_ref())?;
        if path.is_file() && sqlite_file::is_one(&path)? {
            database::check(&path)?;
        }
        Ok(Self { path, max_record_bytes: Self::MAX_RECORD_BYTES })
    }

    /// Sets the most bytes of a thread, which is held in memory as a whole.
    #[must_use]
    pub const fn with_max_record_bytes(mut self, bytes: usize) -> Self {
        self.max_record_bytes = bytes;
        self
    }

    pub(crate) fn recognizes(probe: &Probe) -> bool {
        let names = probe.names();
        let is_text_thread = ["zed", "version", "text"].iter().all(|name| names.contains(name));
        is_text_thread
            || probe.tables_with(&database::REQUIRED).iter().any(|table| table == database::THREADS)
    }
}

importable!(Zed, Format::Zed);
