use std::path::Path;

use super::LegacySqlite;
use crate::TransferError;

/// The options for reading a legacy SQLite file.
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

/// The state of messages from rows that were still streaming.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamingRows {
    /// An abandoned message with the written text, and the reason [`StreamingRows::REASON`].
    #[default]
    Abandoned,
    /// A final message.
    Final,
}

impl StreamingRows {
    /// The reason of such an abandoned message.
    pub const REASON: &'static str = "it was still being written when it was imported";
}

impl LegacySqliteOptions {
    /// Returns the defaults: the table `projection_thread_messages`, and abandoned messages for streaming rows.
    pub fn new() -> Self {
        Self { table: "projection_thread_messages".to_owned(), streaming: StreamingRows::default() }
    }

    /// Sets the table with the messages.
    pub fn table(mut self, name: impl Into<String>) -> Self {
        self.table = name.into();
        self
    }

    /// Sets the state of messages from rows that were still streaming.
    pub const fn streaming_rows(mut self, rows: StreamingRows) -> Self {
        self.streaming = rows;
        self
    }

    /// Opens the file and checks the columns: see [`LegacySqlite::open`].
    ///
    /// # Errors
    /// As for [`LegacySqlite::open`].
    pub fn open(self, path: impl AsRef<Path>) -> Result<LegacySqlite, TransferError> {
        LegacySqlite::checked(path.as_ref(), self)
    }
}

impl Default for LegacySqliteOptions {
    fn default() -> Self {
        Self::new()
    }
}
