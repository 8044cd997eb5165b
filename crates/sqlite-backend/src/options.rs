use std::{path::Path, time::Duration};

use throughline_core::{IndexedMetadata, backend::search::Tokenizer};

use crate::{OpenError, SqliteBackend, SqliteReader, failpoint::Failpoints, open};

/// The options of a store. The defaults are measured; most hosts need no others.
///
/// ```
/// use std::time::Duration;
///
/// use throughline_sqlite::SqliteOptions;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), throughline_sqlite::OpenError> {
/// let backend = SqliteOptions::new()
///     .name("drafts")
///     .wait_limit(Duration::from_secs(1))
///     .temporary()
///     .await?;
/// # drop(backend);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "options do nothing before a store is opened with them"]
pub struct SqliteOptions {
    pub(crate) name: String,
    pub(crate) queue_operations: usize,
    pub(crate) queue_bytes: usize,
    pub(crate) batch_operations: usize,
    pub(crate) batch_bytes: usize,
    pub(crate) batch_time: Duration,
    pub(crate) readers: u32,
    pub(crate) wait_limit: Duration,
    pub(crate) max_content_bytes: u64,
    pub(crate) blobs_above: Option<u64>,
    pub(crate) free_space_floor: u64,
    pub(crate) wal_limit: u64,
    pub(crate) changes_kept: u64,
    pub(crate) segment_positions: u32,
    pub(crate) indexed: IndexedMetadata,
    pub(crate) dropped: IndexedMetadata,
    pub(crate) search: bool,
    pub(crate) tokenizer: Tokenizer,
    pub(crate) search_time_limit: Duration,
    pub(crate) repair_ledger: bool,
    pub(crate) failpoints: Failpoints,
}

impl SqliteOptions {
    /// Returns the defaults.
    pub fn new() -> Self {
        Self {
            name: "sqlite".to_owned(),
            queue_operations: 1024,
            queue_bytes: 64 << 20,
            batch_operations: 256,
            batch_bytes: 4 << 20,
            batch_time: Duration::from_millis(20),
            readers: 4,
            wait_limit: Duration::from_secs(5),
            max_content_bytes: 64 << 20,
            blobs_above: None,
            free_space_floor: 16 << 20,
            wal_limit: 64 << 20,
            changes_kept: 1_000_000,
            segment_positions: 4096,
            indexed: IndexedMetadata::none(),
            dropped: IndexedMetadata::none(),
            search: false,
            tokenizer: Tokenizer::Words,
            search_time_limit: Duration::from_secs(1),
            repair_ledger: false,
            failpoints: Failpoints::none(),
        }
    }

    /// Sets the name in errors, reports and `describe()`: `sqlite`. It must be unique in a pipeline.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets how many writes may wait for the writer: 1024, at least 1. Further writes wait for a permit.
    pub const fn queue_operations(mut self, operations: usize) -> Self {
        self.queue_operations = operations;
        self
    }

    /// Sets how many bytes the waiting writes may hold together: 64 MiB, at least 1 and less than 4 GiB. A larger write
    /// waits until it is alone.
    pub const fn queue_bytes(mut self, bytes: usize) -> Self {
        self.queue_bytes = bytes;
        self
    }

    /// Sets how many writes one transaction takes at most: 256, at least 1.
    pub const fn batch_operations(mut self, operations: usize) -> Self {
        self.batch_operations = operations;
        self
    }

    /// Sets the number of bytes after which a transaction takes no further write: 4 MiB.
    pub const fn batch_bytes(mut self, bytes: usize) -> Self {
        self.batch_bytes = bytes;
        self
    }

    /// Sets the time after which a transaction takes no further write: 20 ms.
    pub const fn batch_time(mut self, time: Duration) -> Self {
        self.batch_time = time;
        self
    }

    /// Sets how many connections read for one tenant at a time, each on a thread of its own: 4, from 1 to 64. The store
    /// opens one when it opens, and the others on demand. It opens one more when a tenant without a reader finds all of
    /// them busy, so that no tenant waits because another one uses every reader. A free reader serves the tenant that
    /// has the fewest readers.
    pub const fn readers(mut self, readers: u32) -> Self {
        self.readers = readers;
        self
    }

    /// Sets the wait limit: 5 s, at most a day. For a write without a deadline it covers the wait for a permit of the
    /// queue and then for the write lock of the file, both together. For a read it covers the wait for a reader.
    /// Opening waits as long for the lock, and a writer whose commit failed tries as long to determine its outcome.
    pub const fn wait_limit(mut self, limit: Duration) -> Self {
        self.wait_limit = limit;
        self
    }

    /// Sets the content limit of one message, in bytes of JSON: 64 MiB, at most 512 MiB. Larger content fails as
    /// `TooLarge`.
    pub const fn max_content_bytes(mut self, bytes: u64) -> Self {
        self.max_content_bytes = bytes;
        self
    }

    /// Sets how many of the latest changes the change feed keeps: 1 000 000, about 80 MB; at least 1. A consumer that
    /// asks for older ones gets an error and must read the data itself again. The store may keep a few more.
    pub const fn changes_kept(mut self, changes: u64) -> Self {
        self.changes_kept = changes;
        self
    }

    /// Keeps a full-text index of final messages, for [`Persistence::search`](throughline_core::Persistence::search).
    ///
    /// The writer updates the index while it has nothing else to write, at most half a second late unless it is always
    /// busy. The index takes 0.4 to 0.6 times the space of the text; the more tenants share it, the more. A store
    /// without an index gets one of all its messages. Without this option a search fails as `Unsupported`, but text
    /// that is deleted from the store is still deleted from an existing index. The file keeps the content of a message
    /// that is deleted or replaced until the index is updated (decision 0126), also without this option. Processes that
    /// share a file should open it alike: a process without an index leaves the index of the others to be rebuilt. Keep
    /// more changes than the store receives during the build.
    pub const fn search(mut self, keep: bool) -> Self {
        self.search = keep;
        self
    }

    /// Declares the metadata fields of messages that the store indexes, for
    /// [`Persistence::find`](throughline_core::Persistence::find): none by default. The entries of a message are in the
    /// commit that writes it.
    ///
    /// In a store that has messages already, the writer adds them to the index of a new field in steps of about 5 ms,
    /// while it is idle and at least every half second. Until it is complete, a find by the field is `Busy`.
    ///
    /// The store remembers the fields: every process that writes to the file keeps the index of all of them, whichever
    /// process declared them, and also when it is opened without them. Together they are at most
    /// [`IndexedMetadata::MAX_NAMES`]; more are refused as [`OpenError::Setting`]. A find needs a host that declares its
    /// field.
    ///
    /// ```
    /// use throughline_core::IndexedMetadata;
    /// use throughline_sqlite::SqliteOptions;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let fields = IndexedMetadata::new(["orderId", "kind"])?;
    /// let backend = SqliteOptions::new().index_metadata(fields).temporary().await?;
    /// # drop(backend);
    /// # Ok(())
    /// # }
    /// ```
    pub fn index_metadata(mut self, indexed: IndexedMetadata) -> Self {
        self.indexed = indexed;
        self
    }

    /// Drops the index of metadata fields that a host declared before: none by default. The writer removes the entries in
    /// steps. Drop a field when no host of the store declares it any more: the finds of such a host are refused from then
    /// on.
    pub fn drop_indexed_metadata(mut self, dropped: IndexedMetadata) -> Self {
        self.dropped = dropped;
        self
    }

    /// Sets the tokenizer of the index: [`Tokenizer::Words`]. [`Tokenizer::Cjk`] finds Chinese, Japanese and Korean
    /// inside a run of characters. A store with an index by another tokenizer is indexed again when it is opened with
    /// [`search`](Self::search); until that is done,
    /// [`SearchHits::indexed`](throughline_core::search::SearchHits::indexed) is zero. Processes that share a file
    /// should choose alike: the one that opened it last decides, and `indexed` stays zero for the others.
    pub const fn tokenizer(mut self, tokenizer: Tokenizer) -> Self {
        self.tokenizer = tokenizer;
        self
    }

    /// Sets for how long a search looks for more messages: 1 s, and never beyond the deadline of its call. It then
    /// answers with the best of the messages that it has found, and sets
    /// [`SearchHits::terminated_early`](throughline_core::search::SearchHits::terminated_early).
    ///
    /// The search checks the time before each shard of the index except the first, and after each 64 rows or 1 MiB that
    /// it reads. A shard has about a million terms, which is some 15 000 messages of 100 words; SQLite takes at most
    /// about 50 ms to look up its terms. A search whose time is over reads up to 64 of the messages that it has found.
    pub const fn search_time_limit(mut self, limit: Duration) -> Self {
        self.search_time_limit = limit;
        self
    }

    /// Accepts a file whose ledger of migrations is not the one that this version would have written, if its tables
    /// match. By default such a file is refused as [`OpenError::Ledger`].
    ///
    /// If all tables and indexes are exactly those that the first migrations create, the store rewrites the ledger and
    /// applies the missing migrations, in one transaction. In any other case the file is refused as before. A file with
    /// a newer schema is always refused. Use it for one opening, when you know how the ledger came to differ.
    pub const fn repair_ledger(mut self, repair: bool) -> Self {
        self.repair_ledger = repair;
        self
    }

    /// Keeps the content of a settled message that is longer than this number of bytes of JSON in a file of its own, a blob, in
    /// the folder `NAME-blobs` next to the store: 64 bytes to 512 MiB. Off by default; a good value is 256 KiB or more.
    ///
    /// The writer then copies no long content through the WAL, and a message of the same content needs no more space. A blob is
    /// named by the hash of its bytes. It is durable before its message is, and it is removed some time after the last message
    /// that has it. Backups copy the blobs, and [`Maintenance::verify`](crate::Maintenance::verify) reads them.
    ///
    /// A store reads contents of both kinds with any setting, so it can change at each opening: it applies to later writes.
    pub const fn blobs_above(mut self, bytes: u64) -> Self {
        self.blobs_above = Some(bytes);
        self
    }

    /// Sets how many bytes of the disk stay free: 16 MiB; 0 is no floor. The writer checks it every 10 ms while it
    /// writes. So the data that it writes in between, and the pages that a checkpoint copies, may go below the floor; a
    /// backup does not observe it. With less space, every write fails with `StorageFull` and `NotApplied`, also a
    /// deletion, because SQLite needs space for it first. Reads continue, and writes do so when there is space again.
    /// With less than 1 MiB and less than the floor, a store does not open.
    ///
    /// Without a floor a disk can become full in the middle of a commit. The operating system may then end the process
    /// (`SIGBUS`) on file systems with blocks smaller than a page.
    pub const fn free_space_floor(mut self, bytes: u64) -> Self {
        self.free_space_floor = bytes;
        self
    }

    /// Sets the length of the WAL above which the writer truncates it, as soon as no reader uses it: 64 MiB, at least 1
    /// MiB. If the reads of this store leave no such moment, new ones wait up to 50 ms until the running ones have
    /// ended, and the writer truncates the WAL. After an attempt without success the writer does not delay readers
    /// again for a second. A WAL that cannot be truncated raises an [alarm](crate::Alarm::WalTooLong), but writes
    /// continue. The writer checkpoints the WAL each time that it has grown by a quarter of this limit, but by 1 MiB at
    /// least and 16 MiB at most: with rarer checkpoints fewer writes wait for one, but each waits longer.
    pub const fn wal_limit(mut self, bytes: u64) -> Self {
        self.wal_limit = bytes;
        self
    }

    /// Sets how many positions one segment of the order covers: 4096, at least 1. In a measurement with a quarter of
    /// that, a thousand threads that were written to in rotation had a segment for nearly every message; twice as many
    /// brought no gain. For tests that need several segments.
    #[doc(hidden)]
    pub const fn segment_positions(mut self, positions: u32) -> Self {
        self.segment_positions = positions;
        self
    }

    /// Calls `hook` whenever the writer passes one of the [`Failpoint`](crate::Failpoint)s, on its thread. An error is
    /// the SQLite code with which the store then fails. For tests.
    #[cfg(feature = "failpoints")]
    #[doc(hidden)]
    pub fn failpoints(
        self,
        hook: impl Fn(crate::Failpoint) -> std::result::Result<(), i32> + Send + Sync + 'static,
    ) -> Self {
        self.failpoints.set(move |point, _| hook(point));
        self
    }

    /// Opens the store in the file at `path`. Creates the file if it is missing, but not its directory. The argument is
    /// a path, not a URL: `:memory:` and names that begin with `file:` or `sqlite:` are refused.
    ///
    /// Needs a tokio runtime with time. If the future is dropped before it completes, no store is opened.
    ///
    /// # Errors
    /// [`OpenError`]; the file is unchanged, except that a new file may be left empty.
    pub async fn open(self, path: impl AsRef<Path>) -> Result<SqliteBackend, OpenError> {
        self.check()?;
        open::open(self, path.as_ref()).await
    }

    /// Opens the existing store in the file at `path` to be read. Creates, migrates and changes no file: see
    /// [`SqliteReader`]. Of the settings it uses the name, the number of readers, the wait limit and the time limit of
    /// searches; it finds out itself whether the file has a full-text index.
    ///
    /// Needs a tokio runtime with time. If the future is dropped before it completes, no store is opened.
    ///
    /// # Errors
    /// [`OpenError`]: `Missing` if there is no file, `Newer` or `Older` if another version wrote it, `Foreign` if it is
    /// no store, and `NoWalIndex` if it cannot be read without creating a file.
    pub async fn open_read_only(self, path: impl AsRef<Path>) -> Result<SqliteReader, OpenError> {
        self.check()?;
        open::open_read_only(self, path.as_ref()).await
    }

    /// Opens a new store in a directory of its own, which is removed when the store is closed or dropped.
    ///
    /// The store is a real file and has all features of a store at a path.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn temporary(self) -> Result<SqliteBackend, OpenError> {
        self.check()?;
        open::temporary(self).await
    }

    fn check(&self) -> Result<(), OpenError> {
        let within = |name, value: u64, min: u64, max: u64| {
            if (min..=max).contains(&value) {
                return Ok(());
            }
            Err(OpenError::Setting { name, fault: format!("is {value}, and {min} to {max} are allowed") })
        };
        if self.name.is_empty() {
            return Err(OpenError::Setting { name: "name", fault: "is empty".to_owned() });
        }
        if let Some(name) = self.dropped.iter().find(|name| self.indexed.contains(name)) {
            let fault = format!("names `{name}`, which `index_metadata` declares");
            return Err(OpenError::Setting { name: "drop_indexed_metadata", fault });
        }
        within("queue_operations", self.queue_operations as u64, 1, u64::from(u32::MAX) >> 3)?;
        within("queue_bytes", self.queue_bytes as u64, 1, u64::from(u32::MAX))?;
        within("batch_operations", self.batch_operations as u64, 1, u64::MAX)?;
        within("wait_limit", self.wait_limit.as_secs(), 0, 24 * 3600)?;
        within("search_time_limit", self.search_time_limit.as_secs(), 0, 24 * 3600)?;
        within("wal_limit", self.wal_limit, 1 << 20, i64::MAX as u64)?;
        within("changes_kept", self.changes_kept, 1, i64::MAX as u64)?;
        within("readers", u64::from(self.readers), 1, 64)?;
        within("blobs_above", self.blobs_above.unwrap_or(64), 64, 512 << 20)?;
        within("max_content_bytes", self.max_content_bytes, 2, 512 << 20)
    }
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_exact() {
        let fault = |options: SqliteOptions| options.check().err().map(|error| error.to_string());
        assert_eq!(fault(SqliteOptions::new()), None);
        assert_eq!(fault(SqliteOptions::new().readers(64)), None);
        assert_eq!(
            fault(SqliteOptions::new().readers(65)).unwrap(),
            "the setting `readers` is 65, and 1 to 64 are allowed"
        );
        assert!(fault(SqliteOptions::new().queue_operations(0)).is_some());
        assert!(fault(SqliteOptions::new().queue_bytes(0)).is_some());
        assert!(fault(SqliteOptions::new().batch_operations(0)).is_some());
        assert!(fault(SqliteOptions::new().changes_kept(0)).is_some());
        assert_eq!(fault(SqliteOptions::new().changes_kept(1)), None);
        assert!(fault(SqliteOptions::new().changes_kept(u64::MAX)).is_some());
        assert_eq!(fault(SqliteOptions::new().wait_limit(Duration::ZERO)), None);
        assert!(fault(SqliteOptions::new().wait_limit(Duration::MAX)).is_some());
        assert_eq!(fault(SqliteOptions::new().max_content_bytes(512 << 20)), None);
        assert!(fault(SqliteOptions::new().max_content_bytes((512 << 20) + 1)).is_some());
        assert_eq!(fault(SqliteOptions::new().blobs_above(64)), None);
        assert!(fault(SqliteOptions::new().blobs_above(63)).is_some());
        assert_eq!(fault(SqliteOptions::new().name("")).unwrap(), "the setting `name` is empty");
    }
}
