//! A store that is opened without the right to change it.

mod access;

use std::{fmt, path::Path, sync::Arc};

use throughline_core::{
    Admitted, Backend, Capabilities, Durability, IndexedMetadata, OpKind, ReadArgs, Reply, Result,
    backend::{OwnerProcess, search::Tokenizer},
};

pub(crate) use self::access::Access;
use crate::{Maintenance, OpenError, SqliteOptions, file_guard, read::Readers};

/// A store in one SQLite file, opened to be read: for inspection, for a second process, and on a read-only disk.
///
/// It creates, migrates and changes no file. Its pipeline refuses every write as
/// [`Unsupported`](throughline_core::ErrorKind::Unsupported). The reads are those of
/// [`SqliteBackend`](crate::SqliteBackend): each is one snapshot, and sees every write that was committed before it
/// began. Other processes, and other stores of this process, may write to the file meanwhile.
///
/// ```
/// use throughline_core::{NewMessage, Persistence, messages::PageFrom};
/// use throughline_sqlite::{SqliteBackend, SqliteReader};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> throughline_core::Result<()> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("chat.db");
/// let db = Persistence::builder().backend(SqliteBackend::open(&path).await?).build()?;
/// db.thread("telegram:42").add(NewMessage::user("hello")).await?;
/// db.close().await?;
///
/// let reader = Persistence::builder().backend(SqliteReader::open(&path).await?).build()?;
/// assert_eq!(reader.thread("telegram:42").page(PageFrom::End, 20).await?.messages.len(), 1);
/// assert!(reader.thread("telegram:42").add(NewMessage::user("?")).await.is_err());
/// # Ok(())
/// # }
/// ```
///
/// # The three states of a file
/// | state | access |
/// |---|---|
/// | closed: there is no `-wal` | the file alone; the reader checks after each read that no process has changed it, and repeats the read if one has |
/// | open in another process, or after a crash: there are a `-wal` and a `-shm` | the file and the `-wal`, under the locks of a reader |
/// | a `-wal` without a `-shm`, as in an incomplete copy | refused as [`OpenError::NoWalIndex`], because SQLite would have to create a file |
///
/// A writer that closes the store while a reader has it open leaves its `-wal` and `-shm`, because it is not the last
/// user of the file. The next writer that closes removes them.
pub struct SqliteReader {
    name: String,
    owner: OwnerProcess,
    path: Arc<Path>,
    readers: Readers,
    tokenizer: Option<Tokenizer>,
    indexed: IndexedMetadata,
}

impl SqliteReader {
    pub(crate) fn new(
        options: SqliteOptions,
        path: Arc<Path>,
        readers: Readers,
        tokenizer: Option<Tokenizer>,
    ) -> Self {
        let SqliteOptions { name, indexed, .. } = options;
        Self { name, owner: OwnerProcess::current(), path, readers, tokenizer, indexed }
    }

    /// Opens the file at `path`, with the default [`SqliteOptions`].
    ///
    /// Needs a tokio runtime with time. If the future is dropped before it completes, no store is opened.
    ///
    /// # Errors
    /// As [`SqliteOptions::open_read_only`].
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        SqliteOptions::new().open_read_only(path).await
    }

    /// Returns a handle that verifies, measures and backs up the store. Like the reader, it changes no file of the store. Take
    /// it before you move the reader into a pipeline.
    ///
    /// ```
    /// # async fn example() -> throughline_core::Result<()> {
    /// let maintenance = throughline_sqlite::SqliteReader::open("chat.db").await?.maintenance();
    /// assert!(maintenance.verify().await?.is_sound());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn maintenance(&self) -> Maintenance {
        Maintenance::of_reader(self.owner, Arc::clone(&self.path))
    }
}

impl Backend for SqliteReader {
    fn name(&self) -> &str {
        &self.name
    }

    fn capabilities(&self) -> Capabilities {
        let claims = Capabilities::new(Durability::PowerLoss)
            .with_operations(&[OpKind::Read])
            .with_changes()
            .with_indexed_metadata(self.indexed.clone())
            .with_multi_process();
        match self.tokenizer {
            Some(tokenizer) => claims.with_search(tokenizer),
            None => claims,
        }
    }

    async fn read(&self, call: Admitted<'_, ReadArgs>) -> Result<Reply<ReadArgs>> {
        self.owner.check().inspect_err(|_| file_guard::close_inherited())?;
        let (read, context, now) = call.into_parts();
        Ok(Reply::new(self.readers.read(context.tenant(), read, context.deadline(), now).await?))
    }

    async fn close(&self) -> Result<()> {
        self.owner.check()?;
        self.readers.close().await;
        Ok(())
    }
}

impl fmt::Debug for SqliteReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteReader").field("path", &self.path).finish_non_exhaustive()
    }
}
