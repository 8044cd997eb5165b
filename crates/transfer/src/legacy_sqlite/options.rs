use std::path::Path;

use super::LegacySqlite;
use crate::TransferError;

/// How a legacy SQLite file is to be read.
///
/// ```no_run
/// use throughline_transfer::{LegacySqliteOptions, StreamingRows};
///
/// let legacy = LegacySqliteOptions::new()
///     .table("messages")
///     .streaming_rows(StreamingRows::Final)
///     .open("state.sqlite")?;
/// # let _ = legacy;
/// # Ok::<(), throughline_transfer::TransferError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "nothing is read before `open`"]
pub struct LegacySqliteOptions {
    pub(super) table: String,
    pub(super) streaming: StreamingRows,
}

/// What becomes of a row that was still being written when the file was left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamingRows {
    /// An abandoned message with what was written, and the reason [`StreamingRows::REASON`].
    #[default]
    Abandoned,
    /// A final message.
    Final,
}

impl StreamingRows {
    /// Why such a row is abandoned.
    pub const REASON: &'static str = "it was still being written when it was imported";
}

impl LegacySqliteOptions {
    /// The table `projection_thread_messages`; rows that were being written are abandoned.
    pub fn new() -> Self {
        Self { table: "projection_thread_messages".to_owned(), streaming: StreamingRows::default() }
    }

    /// The table with the messages.
    pub fn table(mut self, name: impl Into<String>) -> Self {
        self.table = name.into();
        self
    }

    /// What becomes of rows that were still being written.
    pub const fn streaming_rows(mut self, rows: StreamingRows) -> Self {
        self.streaming = rows;
        self
    }

    /// Opens the file and looks at the columns: see [`LegacySqlite::open`].
    ///
    /// # Errors
    /// As [`LegacySqlite::open`].
    pub fn open(self, path: impl AsRef<Path>) -> Result<LegacySqlite, TransferError> {
        LegacySqlite::checked(path.as_ref(), self)
    }
}

impl Default for LegacySqliteOptions {
    fn default() -> Self {
        Self::new()
    }
}
