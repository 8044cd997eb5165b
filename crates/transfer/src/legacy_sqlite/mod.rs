//! A message table that is keyed by message id alone.

mod columns;
mod options;
mod read;
mod row;
mod view;

use std::path::{Path, PathBuf};

use throughline_core::Persistence;

pub use self::options::{LegacySqliteOptions, StreamingRows};
use self::{columns::Columns, read::Reader};
use crate::{Report, TransferError, intake};

/// A SQLite file with a message table whose key is the message id alone, as event-sourced hosts kept it.
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
/// # What becomes of a row
/// | column | becomes |
/// |---|---|
/// | `message_id`, `thread_id` | the message of that id in the thread of that id, to the byte |
/// | `role` | the role: `user`, `assistant`, `system` or `tool` |
/// | `text` | one block of text, to the byte |
/// | `is_streaming` | of a row that was being written: abandoned, or final; see [`StreamingRows`] |
/// | `created_at`, `updated_at` | the times; ISO 8601, or whole milliseconds since 1970 |
/// | `attachments_json` | the names of attachments, where it is an array of names; metadata `legacy.attachments` otherwise |
/// | `turn_id` | the turn of its [`Origin`](throughline_core::messages::Origin), by which `ResolveId` finds it; metadata `legacy.turnId` where it cannot be one |
/// | any other | metadata `legacy.` and its name; `NULL` is left out, bytes are written as hexadecimal digits |
///
/// The messages of a thread come in the order of `created_at`, then of `message_id`. A row that cannot be taken is named in
/// [`Report::skipped`](crate::Report::skipped), and keeps no other back.
///
/// # Again
/// The import may be done again, after a failure or after more was written to the file: what is there is left alone. A thread
/// is in no list before all of it is there. What was deleted from the store stays deleted.
///
/// The file is opened to be read, in one transaction. Beside a file in WAL mode, SQLite itself may leave `-wal` and `-shm`
/// files.
#[derive(Debug, Clone)]
pub struct LegacySqlite {
    path: PathBuf,
    options: LegacySqliteOptions,
}

impl LegacySqlite {
    /// The most rows of a view. A view computes its rows and need not end: one with more is refused by name, and so is one that takes
    /// more than 2³² instructions of SQLite. A table has no such bound.
    ///
    /// A view is computed once. Its rows are kept in a temporary table of SQLite until the import or the plan ends, which takes as much
    /// room in the folder for temporary files as they have: [`MAX_VIEW_BYTES`](Self::MAX_VIEW_BYTES) at most.
    pub const MAX_VIEW_ROWS: u64 = 1_000_000;

    /// The most bytes of the values in the rows of a view: 4 GiB. A view with more is refused by name.
    pub const MAX_VIEW_BYTES: u64 = 4 << 30;

    /// Opens a file whose table has the name `projection_thread_messages`, and looks at the columns. It waits for the disk.
    ///
    /// # Errors
    /// [`TransferError::Database`], [`TransferError::NoTable`] and [`TransferError::NoColumns`], which name what is missing.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, TransferError> {
        LegacySqliteOptions::new().open(path)
    }

    fn checked(path: &Path, options: LegacySqliteOptions) -> Result<Self, TransferError> {
        let reader = Reader::open(path)?;
        reader.columns(&options.table)?;
        Ok(Self { path: path.to_owned(), options })
    }

    /// Reads everything and writes nothing: what an import into a store with none of it would come to.
    ///
    /// # Errors
    /// [`TransferError::Database`] where the file cannot be read to its end; [`TransferError::UnboundedView`] where a view stands in
    /// place of the table and is not known to end.
    ///
    /// # Cancel safety
    /// It only reads; dropped, it reads on by itself and answers nobody.
    pub async fn plan(&self) -> Result<Report, TransferError> {
        intake::plan(self.clone()).await
    }

    /// Brings every row over that the store does not have, a few hundred at a time, through the pipeline.
    ///
    /// # Errors
    /// As [`plan`](Self::plan), and [`TransferError::Store`] where the store fails. What was brought over stays, and done again
    /// it goes on.
    ///
    /// # Cancel safety
    /// Dropped, it stops between two calls of the store, and leaves the thread that it was at in no list.
    pub async fn import(&self, db: &Persistence) -> Result<Report, TransferError> {
        intake::import(self.clone(), db).await
    }
}

impl intake::Source for LegacySqlite {
    fn read(&self, sink: &mut dyn intake::Sink, report: &mut Report) -> Result<(), TransferError> {
        Reader::open(&self.path)?.read(&self.options, sink, report)
    }
}
