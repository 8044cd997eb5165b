use std::{
    fmt::{self, Write as _},
    io,
    sync::Arc,
    time::Duration,
};

use sqlx::postgres::PgConnectOptions;
use throughline_core::{IndexedMetadata, backend::search::Tokenizer};

use crate::{
    OpenError, PostgresBackend, PostgresReader, engine::Engine, hosts, metadata_index::NamesCache, open,
    servers::Servers, transaction::FORGET_NAMES,
};

/// Options to open a store in Postgres. The defaults fit a host with a few dozen concurrent tasks.
///
/// ```no_run
/// use std::time::Duration;
/// use throughline_postgres::PostgresBackend;
///
/// # async fn example() -> Result<(), throughline_postgres::OpenError> {
/// let backend = PostgresBackend::builder()
///     .writers(2)
///     .wait_limit(Duration::from_secs(2))
///     .open("postgres://app:secret@db.example/app")
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "nothing is opened before `open`"]
pub struct PostgresOptions {
    pub(crate) name: String,
    pub(crate) writers: usize,
    pub(crate) readers: u32,
    pub(crate) partitions: u32,
    pub(crate) queue_operations: usize,
    pub(crate) queue_bytes: usize,
    pub(crate) max_content_bytes: u64,
    pub(crate) kept_changes: u64,
    pub(crate) wait_limit: Duration,
    pub(crate) answer_limit: Duration,
    pub(crate) resolve_limit: Duration,
    pub(crate) pgbouncer: bool,
    pub(crate) prepared_statements: bool,
    pub(crate) indexed: IndexedMetadata,
    pub(crate) dropped: IndexedMetadata,
    pub(crate) search: bool,
    pub(crate) tokenizer: Tokenizer,
    pub(crate) listen_at: Option<String>,
    pub(crate) row_security: bool,
}

/// The upper bound of `max_content_bytes`: well below the limit of a Postgres value.
const LARGEST: u64 = 256 << 20;

/// The value of `throughline.session`, which shows that the settings of a session have arrived.
pub(crate) const MARK: &str = "1";

/// The settings of every connection; they override the defaults of the role and the database. With `row_security =
/// off`, a query that a policy would filter fails, instead of returning fewer rows.
const OF_EVERY_SESSION: [(&str, &str); 3] = [
    ("throughline.session", MARK),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_deferrable", "off"),
];

/// The number of statements that a connection keeps prepared: more than all the shapes that the store uses.
pub(crate) const STATEMENTS: usize = 500;

const ROW_SECURITY: &str = "row_security";
const READ_ONLY: &str = "default_transaction_read_only";

impl PostgresOptions {
    pub(crate) fn new() -> Self {
        Self {
            name: "postgres".to_owned(),
            writers: 2,
            readers: 8,
            partitions: 0,
            queue_operations: 4096,
            queue_bytes: 64 << 20,
            max_content_bytes: 16 << 20,
            kept_changes: 1_000_000,
            wait_limit: Duration::from_secs(5),
            answer_limit: Duration::from_secs(10),
            resolve_limit: Duration::from_secs(30),
            pgbouncer: false,
            prepared_statements: false,
            indexed: IndexedMetadata::none(),
            dropped: IndexedMetadata::none(),
            search: false,
            tokenizer: Tokenizer::Words,
            listen_at: None,
            row_security: false,
        }
    }

    /// Sets the name of the store in place of `postgres`, for a pipeline that contains another pipeline.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets the number of writer tasks, each with a connection of its own; at least 1; default 2. One task applies
    /// all writes of a thread. Commits of one store run one after another, so more writers make smaller
    /// transactions, not more writes per second.
    pub fn writers(mut self, writers: usize) -> Self {
        self.writers = writers.max(1);
        self
    }

    /// Sets the most connections that read for one tenant at a time; at least 1; default 8. One additional
    /// connection serves a tenant that has none while all the others are in use. So no tenant waits because another
    /// one uses every connection. Waiting tenants are served in rotation.
    pub fn readers(mut self, readers: u32) -> Self {
        self.readers = readers.max(1);
        self
    }

    /// Sets the number of hash partitions (by tenant and thread) of the tables. It applies only when the store is
    /// *created*: an existing store keeps its partitions. Default 0; at most 256.
    pub fn partitions(mut self, partitions: u32) -> Self {
        self.partitions = partitions.min(256);
        self
    }

    /// Sets how many writes may wait at once; default 4096. Further writes wait for a permit, and fail as
    /// `Overloaded` if they get none in time.
    pub fn queue_operations(mut self, operations: usize) -> Self {
        self.queue_operations = operations.max(1);
        self
    }

    /// Sets how many bytes may wait at once; default 64 MiB.
    pub fn queue_bytes(mut self, bytes: usize) -> Self {
        self.queue_bytes = bytes.max(1);
        self
    }

    /// Sets the content limit of a message, in bytes of JSON; default 16 MiB, at most 256 MiB.
    pub fn max_content_bytes(mut self, bytes: u64) -> Self {
        self.max_content_bytes = bytes.min(LARGEST);
        self
    }

    /// Sets how many of the latest changes the store keeps at least; default one million.
    pub fn kept_changes(mut self, changes: u64) -> Self {
        self.kept_changes = changes;
        self
    }

    /// Sets how long a call without a deadline waits for a permit, a connection, a primary and a lock of another
    /// process; default 5 s. It should be longer than a failover takes.
    pub fn wait_limit(mut self, limit: Duration) -> Self {
        self.wait_limit = limit;
        self
    }

    /// Sets how long the server may take to answer before the store closes the connection; default 10 s.
    pub fn answer_limit(mut self, limit: Duration) -> Self {
        self.answer_limit = limit;
        self
    }

    /// Sets how long the store tries to resolve a transaction with an unknown outcome; default 30 s. After that,
    /// its calls fail with the effect `Unknown`.
    pub fn resolve_limit(mut self, limit: Duration) -> Self {
        self.resolve_limit = limit;
        self
    }

    /// Declares that the server is behind PgBouncer, in transaction mode or session mode. The store then
    /// applies every setting per transaction, and checks in each transaction that its server is the primary. It keeps no
    /// prepared statements, unless [`prepared_statements`](Self::prepared_statements) is declared too. It polls for commits of
    /// other processes once a second, unless [`listen_at`](Self::listen_at) names the server itself.
    ///
    /// A call also waits, for [`wait_limit`](Self::wait_limit), for a server connection and for a primary. Without
    /// a connection it fails as `Overloaded`; if it met a standby or a replaced primary, it fails as `Unavailable`.
    /// This also holds for reads. In both cases nothing is applied.
    pub fn pgbouncer(mut self) -> Self {
        self.pgbouncer = true;
        self
    }

    /// Declares that the server is behind PgBouncer as [`pgbouncer`](Self::pgbouncer) does, and that each pooler between the store and the server keeps
    /// the prepared statements of its clients: PgBouncer 1.22 or newer, in transaction mode, with `max_prepared_statements` above
    /// 0. A call then needs fewer round trips, and the server parses and plans a statement once for each of its connections.
    ///
    /// [`open`](Self::open) refuses a pooler that passes the names of statements on, as [`OpenError::Pooler`]. If one is
    /// reconfigured so later, the next transaction notices it, and the store keeps no statements until it is opened again; it
    /// warns through `tracing`.
    ///
    /// With two poolers in a row of which only the first one keeps statements, the store can execute a statement of another client
    /// instead of its own. The server cannot show that, so do not declare it there.
    ///
    /// ```no_run
    /// use throughline_postgres::PostgresBackend;
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let backend = PostgresBackend::builder().prepared_statements().open("postgres://pooler.example:6432/app").await?;
    /// # drop(backend);
    /// # Ok(())
    /// # }
    /// ```
    pub fn prepared_statements(mut self) -> Self {
        self.prepared_statements = true;
        self.pgbouncer()
    }

    /// Keeps a full-text index of final messages, for
    /// [`Persistence::search`](throughline_core::Persistence::search). Without it, a search fails as `Unsupported`.
    ///
    /// The index follows the commits in transactions of its own, on a connection of its own. It takes about twice
    /// the space of the text. One process at a time updates it: the first that has work to do. For a store without
    /// an index, the process indexes all messages. A process without this option removes deleted messages from an
    /// existing index. [`kept_changes`](Self::kept_changes) should exceed the changes that happen while the index
    /// is built.
    pub fn search(mut self, keep: bool) -> Self {
        self.search = keep;
        self
    }

    /// Declares the metadata fields of messages that the store indexes, for
    /// [`Persistence::find`](throughline_core::Persistence::find): none by default. The entries of a message are in the
    /// transaction that writes it.
    ///
    /// In a store that has messages already, a task of this host adds them to the index of a new field, 256 in a
    /// transaction. Until it is complete, a find by the field is `Busy`.
    ///
    /// The store remembers the fields: every host that writes keeps the index of all of them, whichever host declared
    /// them, and also when it is opened without them. Together they are at most [`IndexedMetadata::MAX_NAMES`]; more
    /// are refused as [`OpenError::IndexedMetadata`]. A find needs a host that declares its field.
    ///
    /// ```no_run
    /// use throughline_core::IndexedMetadata;
    /// use throughline_postgres::PostgresBackend;
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let fields = IndexedMetadata::new(["orderId", "kind"])?;
    /// let backend = PostgresBackend::builder().index_metadata(fields).open("postgres://db.example/app").await?;
    /// # drop(backend);
    /// # Ok(())
    /// # }
    /// ```
    pub fn index_metadata(mut self, indexed: IndexedMetadata) -> Self {
        self.indexed = indexed;
        self
    }

    /// Drops the index of metadata fields that a host declared before: none by default. A task removes the entries in steps.
    /// A field that [`index_metadata`](Self::index_metadata) also names is built again. Drop a field when no host of the
    /// store declares it any more: the finds of such a host are refused from then on.
    pub fn drop_indexed_metadata(mut self, dropped: IndexedMetadata) -> Self {
        self.dropped = dropped;
        self
    }

    /// Sets the tokenizer of the full-text index; default [`Tokenizer::Words`]. [`Tokenizer::Cjk`] also finds
    /// Chinese, Japanese and Korean words inside a run of characters. If the store was indexed by another
    /// tokenizer, opening it with [`search`](Self::search) rebuilds the index; until then
    /// [`SearchHits::indexed`](throughline_core::search::SearchHits::indexed) is zero. All processes of a store
    /// should use the same tokenizer: the last one that opened the store decides, and `indexed` stays zero for the
    /// others.
    pub fn tokenizer(mut self, tokenizer: Tokenizer) -> Self {
        self.tokenizer = tokenizer;
        self
    }

    /// Sets the URL of the server itself, or of all servers, without the pooler. One connection listens there for
    /// commits of other processes, since a pooler does not forward notifications. Without
    /// [`pgbouncer`](Self::pgbouncer), the store also listens there and not at the URL of `open`.
    /// [`open`](Self::open) refuses an invalid URL as [`OpenError::ListenUrl`]; it retries a server that it cannot reach.
    pub fn listen_at(mut self, url: impl Into<String>) -> Self {
        self.listen_at = Some(url.into());
        self
    }

    /// Enables row-level security: a policy on each table with rows of tenants, in addition to the conditions in
    /// the statements. A new store is created with it. An existing store gets it if the role owns the tables; from
    /// then on, all hosts must open it with this option. The role must not be a superuser and must not have
    /// `BYPASSRLS`.
    ///
    /// If the policies of a store were changed, a call fails as `Denied`.
    pub fn row_security(mut self) -> Self {
        self.row_security = true;
        self
    }

    /// Opens the store in the database of this URL, and creates it if it does not exist. Its tables are in the
    /// schema `throughline`.
    ///
    /// The URL may name several hosts, `postgres://app:secret@one:5432,two:5432/app`: a primary and its standbys.
    /// The store uses the primary, and searches again when that server stops accepting writes.
    ///
    /// # Errors
    /// Returns [`OpenError`]; the database is unchanged then.
    ///
    /// # Cancel safety
    /// If the future is dropped before it completes, no store is opened. A schema that was being created is then
    /// created completely or not at all, perhaps later.
    pub async fn open(self, url: &str) -> Result<PostgresBackend, OpenError> {
        let hosts = hosts::parse(url).ok_or(OpenError::Url)?;
        self.open_with_hosts(hosts).await
    }

    /// Opens the store as [`open`](Self::open) does, with the connection options of sqlx.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    ///
    /// # Cancel safety
    /// As for [`open`](Self::open).
    pub async fn open_with(self, connect: PgConnectOptions) -> Result<PostgresBackend, OpenError> {
        self.open_with_hosts([connect]).await
    }

    /// Opens the store as [`open_with`](Self::open_with) does, with one set of connection options for each of
    /// several hosts.
    ///
    /// # Errors
    /// As for [`open`](Self::open); [`OpenError::Url`] if there is no host.
    ///
    /// # Cancel safety
    /// As for [`open`](Self::open).
    pub async fn open_with_hosts(
        self,
        hosts: impl IntoIterator<Item = PgConnectOptions>,
    ) -> Result<PostgresBackend, OpenError> {
        let settings = self.settings(hosts, Access::Write)?;
        let engine = Engine::start().map_err(OpenError::Threads)?;
        let opening = settings.clone();
        let opened = run(&engine, async move { open::open(&opening).await }).await?;
        Ok(PostgresBackend::new(PostgresReader::new(settings, engine), opened))
    }

    /// Opens the store in the database of this URL to be read: see [`PostgresReader`]. The database is not changed.
    ///
    /// The options of writes have no effect. The reader finds out whether the store has a full-text index, and which one.
    /// [`row_security`](Self::row_security) and [`pgbouncer`](Self::pgbouncer) are required as for the hosts that write.
    ///
    /// # Errors
    /// Returns [`OpenError`]: among others [`Missing`](OpenError::Missing) without a store, [`Older`](OpenError::Older) and
    /// [`Newer`](OpenError::Newer) for a schema of another version, [`Foreign`](OpenError::Foreign) for the schema of another program, and
    /// [`Unreachable`](OpenError::Unreachable) without a server, and for a role without the right to read.
    ///
    /// # Cancel safety
    /// If the future is dropped before it completes, no store is opened.
    pub async fn open_read_only(self, url: &str) -> Result<PostgresReader, OpenError> {
        let hosts = hosts::parse(url).ok_or(OpenError::Url)?;
        self.open_read_only_with_hosts(hosts).await
    }

    /// Opens the store as [`open_read_only`](Self::open_read_only) does, with the connection options of sqlx for each host.
    ///
    /// # Errors
    /// As for [`open_read_only`](Self::open_read_only); [`OpenError::Url`] if there is no host.
    ///
    /// # Cancel safety
    /// As for [`open_read_only`](Self::open_read_only).
    pub async fn open_read_only_with_hosts(
        self,
        hosts: impl IntoIterator<Item = PgConnectOptions>,
    ) -> Result<PostgresReader, OpenError> {
        let mut settings = self.settings(hosts, Access::ReadOnly)?;
        let engine = Engine::start().map_err(OpenError::Threads)?;
        let opening = settings.clone();
        let index = run(&engine, async move { open::examine(&opening).await }).await?;
        let (tokenizer, indexed) = index;
        settings.options.search = tokenizer.is_some();
        settings.options.tokenizer = tokenizer.unwrap_or_default();
        settings.options.indexed = indexed;
        Ok(PostgresReader::new(settings, engine))
    }

    /// Returns the settings of a store at these hosts.
    fn settings(
        self,
        hosts: impl IntoIterator<Item = PgConnectOptions>,
        access: Access,
    ) -> Result<Settings, OpenError> {
        let adjusted = |host: PgConnectOptions| {
            if self.pgbouncer {
                host.extra_float_digits(None)
            } else {
                host.statement_cache_capacity(STATEMENTS).options(OF_EVERY_SESSION).options([
                    (READ_ONLY, on_or_off(access == Access::ReadOnly)),
                    (ROW_SECURITY, on_or_off(self.row_security)),
                ])
            }
        };
        let hosts: Vec<_> = hosts.into_iter().map(adjusted).collect();
        if hosts.is_empty() {
            return Err(OpenError::Url);
        }
        let listening = match self.listen_at.as_deref().map(hosts::parse) {
            None => None,
            Some(None) => return Err(OpenError::ListenUrl),
            Some(Some(hosts)) => Some(Servers::new(hosts, false)),
        };
        let servers = Servers::new(hosts, self.pgbouncer);
        Ok(Settings { servers, listening, names: Arc::default(), options: self })
    }
}

/// The transactions that a store begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Write,
    ReadOnly,
}

/// Opens a store on its own threads.
async fn run<T: Send + 'static>(
    engine: &Engine,
    opening: impl Future<Output = Result<T, OpenError>> + Send + 'static,
) -> Result<T, OpenError> {
    let opened = engine.handle().spawn(opening);
    opened.await.unwrap_or_else(|lost| Err(OpenError::Threads(io::Error::other(lost))))
}

const fn on_or_off(is_on: bool) -> &'static str {
    if is_on { "on" } else { "off" }
}

impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("name", &self.name)
            .field("writers", &self.writers)
            .field("readers", &self.readers)
            .field("partitions", &self.partitions)
            .field("queue_operations", &self.queue_operations)
            .field("queue_bytes", &self.queue_bytes)
            .field("max_content_bytes", &self.max_content_bytes)
            .field("kept_changes", &self.kept_changes)
            .field("wait_limit", &self.wait_limit)
            .field("answer_limit", &self.answer_limit)
            .field("resolve_limit", &self.resolve_limit)
            .field("pgbouncer", &self.pgbouncer)
            .field("prepared_statements", &self.prepared_statements)
            .field("indexed", &self.indexed)
            .field("dropped", &self.dropped)
            .field("search", &self.search)
            .field("tokenizer", &self.tokenizer)
            // Without the URL: it may hold a password.
            .field("listens_elsewhere", &self.listen_at.is_some())
            .field("row_security", &self.row_security)
            .finish()
    }
}

/// The options and the servers of a store.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) servers: Arc<Servers>,
    /// The servers to listen at, if they differ from `servers`.
    pub(crate) listening: Option<Arc<Servers>>,
    /// The declared metadata fields, as the last transaction found them.
    pub(crate) names: Arc<NamesCache>,
    pub(crate) options: PostgresOptions,
}

impl Settings {
    /// Behind a pooler, the SQL that removes the prepared statements of the former user of a server connection.
    pub(crate) fn forget_names(&self) -> &'static str {
        if self.options.pgbouncer { FORGET_NAMES } else { "" }
    }

    /// The settings of a reader's session, or with `LOCAL ` of its transaction.
    pub(crate) fn of_reader(&self, local: &str) -> String {
        format!("SET {local}{ROW_SECURITY} = {}; ", on_or_off(self.options.row_security))
    }

    /// The settings of a writer's session, or with `LOCAL ` of its transaction.
    pub(crate) fn of_writer(&self, local: &str) -> String {
        let wait = self.options.wait_limit.as_millis();
        let answer = (self.options.answer_limit + self.options.wait_limit).as_millis();
        let mut sql = String::new();
        for (name, value) in [
            ("lock_timeout", wait.max(1)),
            ("statement_timeout", answer.max(1)),
            // Ends a transaction whose writer is gone, so that it releases its locks.
            ("idle_in_transaction_session_timeout", answer.max(1)),
        ] {
            // Writing into a string does not fail.
            let _ = write!(sql, "SET {local}{name} = {value}; ");
        }
        // The warnings of a commit must arrive.
        let _ = write!(sql, "SET {local}client_min_messages = warning; ");
        // Every query has an index. A sequential scan that was planned while a table was small would read the whole
        // table later.
        for name in ["enable_seqscan", "enable_hashjoin", "enable_mergejoin", "jit"] {
            let _ = write!(sql, "SET {local}{name} = off; ");
        }
        sql.push_str(&self.of_reader(local));
        sql
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_has_every_setting_and_no_address() {
        let options = PostgresOptions::new().search(true).row_security().listen_at("postgres://a:secret@b/c");
        let shown = format!("{options:?}");
        for setting in ["writers: 2", "search: true", "row_security: true", "listens_elsewhere: true"] {
            assert!(shown.contains(setting), "{setting}: {shown}");
        }
        assert!(!shown.contains("secret"), "{shown}");
    }
}
