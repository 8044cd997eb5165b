use std::{path::Path, time::Duration};

use throughline_core::backend::search::Tokenizer;

use crate::{OpenError, SqliteBackend, failpoint::Failpoints, open};

/// How a store is opened. The defaults are measured ones; most hosts need none of this.
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
    pub(crate) free_space_floor: u64,
    pub(crate) log_limit: u64,
    pub(crate) changes_kept: u64,
    pub(crate) segment_positions: u32,
    pub(crate) search: bool,
    pub(crate) tokenizer: Tokenizer,
    pub(crate) search_time_limit: Duration,
    pub(crate) repair_ledger: bool,
    pub(crate) failpoints: Failpoints,
}

impl SqliteOptions {
    /// The defaults.
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
            free_space_floor: 16 << 20,
            log_limit: 64 << 20,
            changes_kept: 1_000_000,
            segment_positions: 4096,
            search: false,
            tokenizer: Tokenizer::Words,
            search_time_limit: Duration::from_secs(1),
            repair_ledger: false,
            failpoints: Failpoints::none(),
        }
    }

    /// The name in errors, reports and `describe()`: `sqlite`. Unique in a pipeline.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// How many writes may wait for the writer: 1024, at least 1. The next one waits for a place.
    pub const fn queue_operations(mut self, operations: usize) -> Self {
        self.queue_operations = operations;
        self
    }

    /// How many bytes the waiting writes may hold together: 64 MiB, at least 1 and less than 4 GiB. A write that is
    /// larger than that waits until it is alone.
    pub const fn queue_bytes(mut self, bytes: usize) -> Self {
        self.queue_bytes = bytes;
        self
    }

    /// How many writes one transaction takes at most: 256, at least 1.
    pub const fn batch_operations(mut self, operations: usize) -> Self {
        self.batch_operations = operations;
        self
    }

    /// How many bytes one transaction takes before it takes no further write: 4 MiB.
    pub const fn batch_bytes(mut self, bytes: usize) -> Self {
        self.batch_bytes = bytes;
        self
    }

    /// How long one transaction runs before it takes no further write: 20 ms.
    pub const fn batch_time(mut self, time: Duration) -> Self {
        self.batch_time = time;
        self
    }

    /// How many connections read for one tenant at a time, each on a thread of its own: 4, from 1 to 64. One is opened with the store,
    /// the others when they are needed, and one more than these when a tenant that holds no reader finds all of them busy: so no tenant
    /// waits because another one has taken every reader. A reader that becomes free serves the tenant that has the fewest.
    pub const fn readers(mut self, readers: u32) -> Self {
        self.readers = readers;
        self
    }

    /// How long a write without a deadline waits for a place in the queue and then for the write lock of the file, both
    /// together, and a read for a reader: 5 s, at most a day. Opening waits as long for the lock, and a writer whose commit
    /// failed tries as long to find out what became of it.
    pub const fn wait_limit(mut self, limit: Duration) -> Self {
        self.wait_limit = limit;
        self
    }

    /// The longest content of one message, in bytes of JSON: 64 MiB, at most 512 MiB. More is refused as `TooLarge`.
    pub const fn max_content_bytes(mut self, bytes: u64) -> Self {
        self.max_content_bytes = bytes;
        self
    }

    /// How many of the latest changes are kept for who follows them: 1 000 000, about 80 MB; at least 1. Who comes later for
    /// older ones is told so, and reads anew what is followed. There may be a few more.
    pub const fn changes_kept(mut self, changes: u64) -> Self {
        self.changes_kept = changes;
        self
    }

    /// Keeps a full-text index of final messages, for [`Persistence::search`](throughline_core::Persistence::search).
    ///
    /// It follows the writes while nothing else is written, at most half a second late unless the writer is busy all the time. It takes
    /// 1.1 to 1.4 times the space of the text, the more the more tenants share it. On a store that has none it is made of every message
    /// there is. Without it a search is refused as `Unsupported`; text that goes from the store goes from an index that was
    /// kept before all the same. Processes that share a file open it alike: one without an index leaves that of the others to
    /// be made again. Keep more changes than come while it is made.
    pub const fn search(mut self, keep: bool) -> Self {
        self.search = keep;
        self
    }

    /// How the index divides a text into words: [`Tokenizer::Words`]. [`Tokenizer::Cjk`] finds Chinese, Japanese and Korean inside a run
    /// of characters. A store that was indexed by another one is indexed again when it is opened with [`search`](Self::search); until
    /// that is done [`SearchHits::indexed`](throughline_core::search::SearchHits::indexed) is zero. Processes that share a file choose alike: the
    /// one that opened it last decides, and `indexed` stays zero for the others.
    pub const fn tokenizer(mut self, tokenizer: Tokenizer) -> Self {
        self.tokenizer = tokenizer;
        self
    }

    /// For how long a search looks for more messages: 1 s, and never beyond the deadline of its call. It then answers with the best of
    /// those that it has found, and says so: [`SearchHits::terminated_early`](throughline_core::search::SearchHits::terminated_early).
    ///
    /// The search looks at the time before each shard of the index but the first, and after each 64 rows or 1 MiB that it reads. A shard has
    /// about a million terms, which is some 15 000 messages of 100 words; SQLite takes some 50 ms at the very most to look its
    /// terms up. A search whose time is over reads up to 64 of the messages that it has found.
    pub const fn search_time_limit(mut self, limit: Duration) -> Self {
        self.search_time_limit = limit;
        self
    }

    /// Whether a file whose ledger of migrations is not the one that this version would have written, refused otherwise as
    /// [`OpenError::Ledger`], is believed by its tables: not, unless the host declares it.
    ///
    /// If its tables and indexes are, each and every one, those that the first migrations make, then the ledger is written anew
    /// and what is missing up to the present schema is done, in one transaction. In any other case the file is refused as
    /// before. A file with a newer schema is always refused. Made for one opening, by who knows how the ledger came to be so.
    pub const fn repair_ledger(mut self, repair: bool) -> Self {
        self.repair_ledger = repair;
        self
    }

    /// How many bytes of the disk are left free: 16 MiB; 0 is no floor. It is looked at every 10 ms of writing, so what is
    /// written meanwhile and what is folded from the log may go below it, and a backup does not keep to it. With less, every
    /// write is refused with `StorageFull` and `NotApplied`, deletions too, as SQLite needs space for those first; reads go on, and so do
    /// writes once there is space again. With less than 1 MiB and less than this, a store is not opened.
    ///
    /// Without a floor a disk can become full in the middle of a commit, and a process may then be ended by the
    /// operating system (`SIGBUS`) on file systems with blocks smaller than a page.
    pub const fn free_space_floor(mut self, bytes: u64) -> Self {
        self.free_space_floor = bytes;
        self
    }

    /// How long the log of the file (its `-wal`) may become before it is cut back as soon as nobody reads what is in
    /// it: 64 MiB, at least 1 MiB. Where the reads of this store leave no such moment, new ones wait until those under way have
    /// ended, 50 ms at most, and the log is cut; after that was in vain they are let alone for a second. A WAL that cannot be
    /// truncated is an [alarm](crate::Alarm::LogTooLong), not a limit: writes go on. While they do, the log is folded into the file
    /// each time that it has grown by a quarter of this, by 1 MiB at least and 16 MiB at most: the less often, the fewer writes
    /// wait for it, and the longer they do.
    pub const fn log_limit(mut self, bytes: u64) -> Self {
        self.log_limit = bytes;
        self
    }

    /// Of how many positions a segment of the order is: 4096, at least 1. With a quarter of that, a thousand threads that
    /// are written to by turns were found to have a segment for nearly every message; up to the double nothing became better. For
    /// tests, which are to come from one segment to the next.
    #[doc(hidden)]
    pub const fn segment_positions(mut self, positions: u32) -> Self {
        self.segment_positions = positions;
        self
    }

    /// Calls `hook` wherever the writer comes through one of the [`Failpoint`](crate::Failpoint)s, on its thread. An
    /// error is a code of SQLite that it then fails with. For tests.
    #[cfg(feature = "failpoints")]
    pub fn failpoints(
        self,
        hook: impl Fn(crate::Failpoint) -> std::result::Result<(), i32> + Send + Sync + 'static,
    ) -> Self {
        self.failpoints.set(move |point, _| hook(point));
        self
    }

    /// Opens the store in the file at `path`, which is made if it is missing; its directory is not. A path, not a URL: `:memory:` and
    /// what begins with `file:` or `sqlite:` are refused.
    ///
    /// Needs a tokio runtime with time. Dropping the future before it is ready opens nothing.
    ///
    /// # Errors
    /// [`OpenError`]; the file is as it was then, but for a fresh one that may be left empty.
    pub async fn open(self, path: impl AsRef<Path>) -> Result<SqliteBackend, OpenError> {
        self.check()?;
        open::open(self, path.as_ref()).await
    }

    /// Opens a fresh store in a directory of its own, which goes away when the store is closed or dropped.
    ///
    /// It is a real file, with everything that a store at a path does.
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
        within("queue_operations", self.queue_operations as u64, 1, u64::from(u32::MAX) >> 3)?;
        within("queue_bytes", self.queue_bytes as u64, 1, u64::from(u32::MAX))?;
        within("batch_operations", self.batch_operations as u64, 1, u64::MAX)?;
        within("wait_limit", self.wait_limit.as_secs(), 0, 24 * 3600)?;
        within("search_time_limit", self.search_time_limit.as_secs(), 0, 24 * 3600)?;
        within("log_limit", self.log_limit, 1 << 20, i64::MAX as u64)?;
        within("changes_kept", self.changes_kept, 1, i64::MAX as u64)?;
        within("readers", u64::from(self.readers), 1, 64)?;
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
        assert_eq!(fault(SqliteOptions::new().name("")).unwrap(), "the setting `name` is empty");
    }
}
