//! Imports the session logs of Claude Code.

mod index;
mod line;
mod read;

use std::path::{Path, PathBuf};

use crate::{Format, TransferError, any_source::Probe, import::importable, line_reader, walk};

/// The session logs of Claude Code: one file, a folder of a project, or the folder of all projects.
///
/// ```
/// use throughline_core::Persistence;
/// use throughline_memory::MemoryBackend;
/// use throughline_transfer::ClaudeCode;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("8d7f1f0a.jsonl");
/// # std::fs::write(&path, concat!(
/// #     r#"{"type":"user","sessionId":"8d7f1f0a","uuid":"u1","timestamp":"2025-06-14T10:00:00Z","message":{"role":"user","content":"hello"}}"#, "\n",
/// #     r#"{"type":"assistant","sessionId":"8d7f1f0a","uuid":"u2","timestamp":"2025-06-14T10:00:01Z","message":{"id":"msg_1","role":"assistant","content":[{"type":"text","text":"hi"}]}}"#, "\n"))?;
/// let db = Persistence::builder().backend(MemoryBackend::new()).build()?;
/// let report = ClaudeCode::open(&path)?.import(&db).await?;
/// assert_eq!((report.threads, report.messages), (1, 2));
/// assert!(db.thread("8d7f1f0a").summary().await?.is_some());
/// # Ok(())
/// # }
/// ```
///
/// # From lines to messages
/// | in the log | in the store |
/// |---|---|
/// | `sessionId` | the thread; a line without one belongs to the first session of its file |
/// | `isSidechain` | a thread of its own, `<session>/<agentId>`, or `<session>/<uuid of its first line>`; its metadata `source.parent` names the session |
/// | `uuid` | the message; a line repeats if its session has its `uuid` already |
/// | `message.content` | the content, byte for byte; a text becomes a block of text |
/// | `type` | the role `user`, `assistant` or `system`; a `user` line with tool results only has the role `tool` |
/// | `timestamp` | the time of creation |
/// | `attachment` | a message of the user with a block of the type `attachment`, and the file name as its attachment key |
/// | the rest of the line, with `parentUuid` and `message.id` | metadata `source.record`, with `null` in place of the content; above 64 KiB the last block of the content |
/// | `custom-title`, `ai-title`, `summary` | the title, in this order of preference |
/// | snapshots, queue operations and other bookkeeping | nothing; [`Report::omitted`](crate::Report::omitted) counts them by type |
/// | any other type, and a malformed message | a message of the system with a block of the type `source.record`, and a warning |
///
/// Claude Code writes one line for each block of an answer. Each line is a message of the store, because the lines of
/// one answer can have tool results between them; `message.id` in the metadata joins them.
///
/// A resumed session repeats the lines of the former one. In a folder, the file of a session comes before the files
/// that repeat it, so each message is imported once and in its order.
#[derive(Debug, Clone)]
pub struct ClaudeCode {
    path: PathBuf,
    max_line_bytes: usize,
}

impl ClaudeCode {
    /// The most bytes of a line, 160 MiB. The import skips and reports a longer line, and never holds it.
    pub const MAX_LINE_BYTES: usize = line_reader::MAX_BYTES;
    /// The most files of a folder.
    pub const MAX_FILES: usize = 100_000;
    /// The most sessions and side chains of one file. The lines of further ones are skipped and reported.
    pub const MAX_THREADS: usize = 10_000;

    /// Opens a file or a folder. Of a folder, the import reads the files with the extension `jsonl`, also in its
    /// subfolders, and does not follow symbolic links. It blocks on the disk.
    ///
    /// # Errors
    /// [`TransferError::Io`] if it does not exist, and [`TransferError::NotAFile`] if it is neither a file nor a folder.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, TransferError> {
        let path = walk::source(path.as_ref())?;
        Ok(Self { path, max_line_bytes: Self::MAX_LINE_BYTES })
    }

    /// Sets the most bytes of a line, which is held in memory as a whole.
    #[must_use]
    pub const fn with_max_line_bytes(mut self, bytes: usize) -> Self {
        self.max_line_bytes = bytes;
        self
    }

    pub(crate) fn recognizes(probe: &Probe) -> bool {
        let is_line = |names: &[&str]| {
            let has = |name: &str| names.contains(&name);
            let is_message = has("uuid") && has("message") && (has("sessionId") || has("parentUuid"));
            has("type")
                && (is_message
                    || (has("summary") && has("leafUuid"))
                    || (has("snapshot") && has("messageId"))
                    || (has("operation") && has("sessionId")))
        };
        probe.lines().any(|names| is_line(&names))
    }
}

importable!(ClaudeCode, Format::ClaudeCode);
