//! Imports a SQLite table of messages whose key is the message id alone.

mod columns;
mod options;
mod read;
mod row;
mod view;

use std::path::{Path, PathBuf};

use throughline_core::Persistence;

pub use self::options::{LegacySqliteOptions, StreamingRows};
use self::{columns::Columns, read::Reader};
use crate::{AnySource, Progress, Report, TransferError, import};

/// A SQLite file with a message table whose key is the message id alone, as event-sourced hosts have it.
///
/// ```no_run
/// use throughline_core::Persistence;
/// use throughline_transfer::LegacySqlite;
///
/// # async fn example(db: Persistence) -> Result<(), Box<dyn std::error::Error>> {
/// let legacy = LegacySqlite::open("state.sqlite")?;
/// let plan = legacy.plan().await?; // reads everything, writes nothing
/// println!("{plan}");
/// for finding in &plan.skipped {
///     println!("{finding}");
/// }
/// let report = legacy.import(&db).await?;
/// assert_eq!(report.messages + report.already_there, plan.messages);
/// # Ok(())
/// # }
/// ```
///
/// # From rows to messages
/// | column | result |
/// |---|---|
/// | `message_id`, `thread_id` | the ids of the message and its thread, byte for byte |
/// | `role` | the role: `user`, `assistant`, `system` or `tool` |
/// | `text` | one block of text, byte for byte |
/// | `is_streaming` | the state of a streaming row: abandoned or final; see [`StreamingRows`] |
/// | `created_at`, `updated_at` | the times; ISO 8601, or whole milliseconds since 1970 |
/// | `attachments_json` | the attachment keys, if it is an array of names; metadata `legacy.attachments` otherwise |
/// | `turn_id` | the turn of its [`Origin`](throughline_core::messages::Origin), by which `ResolveId` finds it; metadata `legacy.turnId` if it cannot be a turn id |
/// | any other | metadata `legacy.` and its name; `NULL` is omitted, bytes become hexadecimal digits |
///
/// The messages of a thread are in the order of `created_at`, then of `message_id`.
/// [`Report::skipped`](crate::Report::skipped) names rows that cannot be imported; the others are imported.
///
/// # Again
/// The import can be repeated after a failure, or after more rows were written to the file: existing messages stay
/// unchanged. A thread is hidden until it is complete. Messages that were deleted from the store stay deleted.
///
/// The file is opened read-only, in one transaction. For a file in WAL mode, SQLite itself may leave `-wal` and `-shm`
/// files.
#[derive(Debug, Clone)]
pub struct LegacySqlite {
    path: PathBuf,
    options: LegacySqliteOptions,
}

impl LegacySqlite {
    /// The most rows of a view. A view computes its rows and may never end: the import refuses a view with more rows,
    /// or with more than 2³² SQLite instructions. A table has no such limit.
    ///
    /// A view is computed once. SQLite keeps its rows in a temporary table until the import or the plan ends; it takes
    /// at most [`MAX_VIEW_BYTES`](Self::MAX_VIEW_BYTES) in the folder for temporary files.
    pub const MAX_VIEW_ROWS: u64 = 1_000_000;

    /// The most bytes of the values in the rows of a view: 4 GiB. The import refuses a view with more.
    pub const MAX_VIEW_BYTES: u64 = 4 << 30;

    /// Opens a file with the table `projection_thread_messages`, and checks its columns. It blocks on the disk.
    ///
    /// # Errors
    /// [`TransferError::Io`] and [`TransferError::NotAFile`]; [`TransferError::Database`]; [`TransferError::NoTable`] and
    /// [`TransferError::NoColumns`], which name the missing parts.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, TransferError> {
        LegacySqliteOptions::new().open(path)
    }

    fn checked(path: &Path, options: LegacySqliteOptions) -> Result<Self, TransferError> {
        let reader = Reader::open(path)?;
        reader.columns(&options.table)?;
        Ok(Self { path: path.to_owned(), options })
    }

    /// Reads everything and writes nothing. Returns the report of an import into a store without any of the messages.
    ///
    /// # Errors
    /// [`TransferError::Database`] if the file cannot be read to its end; [`TransferError::UnboundedView`] if the table
    /// is a view that exceeds a limit.
    ///
    /// # Cancel safety
    /// It only reads. If it is dropped, the reading thread continues to its end without effect.
    pub async fn plan(&self) -> Result<Report, TransferError> {
        AnySource::from(self.clone()).plan().await
    }

    /// Imports every row that the store does not have, a few hundred at a time, through the pipeline.
    ///
    /// # Errors
    /// As for [`plan`](Self::plan), and [`TransferError::Store`] if the store fails. Imported messages stay, and a
    /// repeated import continues.
    ///
    /// # Cancel safety
    /// A dropped import stops between two calls of the store, and its current thread stays hidden.
    pub async fn import(&self, db: &Persistence) -> Result<Report, TransferError> {
        AnySource::from(self.clone()).import(db).await
    }
}

impl import::Source for LegacySqlite {
    fn read(
        &self,
        sink: &mut dyn import::Sink,
        report: &mut Report,
        progress: &Progress,
    ) -> Result<(), TransferError> {
        let found = std::fs::metadata(&self.path).map_err(TransferError::io(&self.path, "read"))?;
        progress.expect(found.len());
        Reader::open(&self.path)?.read(&self.options, sink, report, progress)
    }
}
