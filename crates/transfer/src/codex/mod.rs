//! Imports the rollouts of Codex.

mod line;
mod read;

use std::path::{Path, PathBuf};

use crate::{Format, TransferError, any_source::Probe, import::importable, line_reader, walk};

/// The rollouts of Codex: one file, or a folder of them such as `~/.codex`; plain, or compressed with zstd.
///
/// ```
/// use throughline_core::Persistence;
/// use throughline_memory::MemoryBackend;
/// use throughline_transfer::CodexRollouts;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("rollout.jsonl");
/// # std::fs::write(&path, concat!(
/// #     r#"{"timestamp":"2025-10-29T00:59:38Z","type":"session_meta","payload":{"id":"0199e2ab"}}"#, "\n",
/// #     r#"{"timestamp":"2025-10-29T00:59:39Z","type":"response_item","payload":{"type":"message","role":"user","content":[{"type":"input_text","text":"hello"}]}}"#, "\n"))?;
/// let db = Persistence::builder().backend(MemoryBackend::new()).build()?;
/// let report = CodexRollouts::open(&path)?.import(&db).await?;
/// assert_eq!((report.threads, report.messages), (1, 1));
/// assert!(db.thread("0199e2ab").summary().await?.is_some());
/// # Ok(())
/// # }
/// ```
///
/// # From lines to messages
/// | in the rollout | in the store |
/// |---|---|
/// | `session_meta` | the thread with its `id`, and metadata `source.record`; without one, the UUID in the file name, or the file name |
/// | a file in a folder `archived_sessions` | an archived thread |
/// | `response_item` of the type `message` | a message with its role and the parts of its `content`; `developer` becomes `system` |
/// | another `response_item` | a message whose only block is the item: of the role `tool` for results, `assistant` for calls and reasoning |
/// | `compacted` | a message of the system with the summary, and the replaced history in the metadata `source.record` |
/// | the number of the line | the id of the message, `line-<number>`; a rollout is only ever appended to |
/// | `timestamp` | the time of creation |
/// | `event_msg`, `turn_context`, `ghost_snapshot`, further `session_meta` | nothing; [`Report::omitted`](crate::Report::omitted) counts them by type |
/// | any other type, and a malformed item | a message of the system with a block of the type `source.record`, and a warning |
///
/// Rollouts of 2025 before `session_meta` have bare items: these become the same messages, with the time of the first
/// line. Of a compressed file that is cut off, up to 64 MiB before the end can be missing; the report names the file.
#[derive(Debug, Clone)]
pub struct CodexRollouts {
    path: PathBuf,
    max_line_bytes: usize,
}

impl CodexRollouts {
    /// The most bytes of a line, 160 MiB. The import skips and reports a longer line, and never holds it.
    pub const MAX_LINE_BYTES: usize = line_reader::MAX_BYTES;
    /// The most files of a folder.
    pub const MAX_FILES: usize = 100_000;

    /// Opens a file or a folder. Of a folder, the import reads the files whose names begin with `rollout-` and end with
    /// `.jsonl` or `.jsonl.zst`, also in its subfolders, and does not follow symbolic links. It blocks on the disk.
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
        probe.lines().any(|names| {
            let has = |name: &str| names.contains(&name);
            let is_line = names.len() <= 4 && has("timestamp") && has("type") && has("payload");
            let is_old_head = has("id") && has("timestamp") && has("instructions") && !has("type");
            is_line || is_old_head
        })
    }
}

importable!(CodexRollouts, Format::Codex);
