use std::{
    fmt::{self, Write as _},
    io,
    sync::Arc,
    time::Duration,
};

use sqlx::postgres::PgConnectOptions;
use throughline_core::backend::search::Tokenizer;

use crate::{OpenError, PostgresBackend, engine::Engine, hosts, open, servers::Servers};

/// How a store in Postgres is opened. The defaults are for a host with a few dozen tasks at work.
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
    pub(crate) search: bool,
    pub(crate) tokenizer: Tokenizer,
    pub(crate) listen_at: Option<String>,
    pub(crate) row_security: bool,
}

/// The most bytes of content that a store can be told to take: well below what a value of Postgres may have.
const LARGEST: u64 = 256 << 20;

/// What says that the settings of a session have arrived.
pub(crate) const MARK: &str = "1";

/// What is asked of the server with each connection, whatever is set for the role or the database. Rows that a policy keeps from the
/// role are denied: left out, they would pass for rows that are not there.
const OF_EVERY_SESSION: [(&str, &str); 4] = [
    ("throughline.session", MARK),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_read_only", "off"),
    ("default_transaction_deferrable", "off"),
];

/// The setting by which rows that a policy keeps back are denied; with policies of our own they are kept back.
/// How many statements a connection keeps prepared: more than there are, in all the shapes that one which writes may have.
const STATEMENTS: usize = 500;

const ROW_SECURITY: &str = "row_security";

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
            search: false,
            tokenizer: Tokenizer::Words,
            listen_at: None,
            row_security: false,
        }
    }

    /// Gives the store another name than `postgres`, for a pipeline with a pipeline inside it.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// How many tasks write, each on a connection of its own; the writes of a thread are those of one of them. At least 1; 2 by
    /// default. Commits of one store follow one another, so more of them are smaller transactions and not more writes a second.
    pub fn writers(mut self, writers: usize) -> Self {
        self.writers = writers.max(1);
        self
    }

    /// How many connections read for one tenant at a time, at most. At least 1; 8 by default. There is one more when a tenant that reads
    /// nothing finds them all at work: so no tenant waits because another one has taken every connection. Tenants that wait take turns.
    pub fn readers(mut self, readers: u32) -> Self {
        self.readers = readers.max(1);
        self
    }

    /// Into how many partitions the tables are divided, by the hash of tenant and thread, when the store is *made*: a store that is
    /// there keeps those that it has. None by default; at most 256.
    pub fn partitions(mut self, partitions: u32) -> Self {
        self.partitions = partitions.min(256);
        self
    }

    /// How many writes may wait at once; 4096 by default. Further ones wait for a place, and are refused as `Overloaded` when
    /// there is none in time.
    pub fn queue_operations(mut self, operations: usize) -> Self {
        self.queue_operations = operations.max(1);
        self
    }

    /// How many bytes may wait at once; 64 MiB by default.
    pub fn queue_bytes(mut self, bytes: usize) -> Self {
        self.queue_bytes = bytes.max(1);
        self
    }

    /// How large the content of a message may be, in bytes of JSON; 16 MiB by default, 256 MiB at most.
    pub fn max_content_bytes(mut self, bytes: u64) -> Self {
        self.max_content_bytes = bytes.min(LARGEST);
        self
    }

    /// How many of the latest changes are kept at least; a million by default.
    pub fn kept_changes(mut self, changes: u64) -> Self {
        self.kept_changes = changes;
        self
    }

    /// How long a call without a deadline waits for a place in the queue, for a connection, for a server that takes writes, and for a
    /// lock of another process; 5 s by default. It should be longer than a failover takes.
    pub fn wait_limit(mut self, limit: Duration) -> Self {
        self.wait_limit = limit;
        self
    }

    /// How long the server may take to answer before its connection is given up; 10 s by default.
    pub fn answer_limit(mut self, limit: Duration) -> Self {
        self.answer_limit = limit;
        self
    }

    /// How long it is tried to find out what became of a transaction of which nobody has heard; 30 s by default. After that its
    /// calls are answered that the outcome is unknown.
    pub fn resolve_limit(mut self, limit: Duration) -> Self {
        self.resolve_limit = limit;
        self
    }

    /// Says that the server is reached through PgBouncer, in its transaction mode or in that of sessions: no statement is kept
    /// prepared, every setting is that of one transaction, each transaction looks whether its server takes the writes, and commits of
    /// other processes are looked for once a second, unless [`listen_at`](Self::listen_at) says where they can be listened to.
    /// What is waited for beside that, for [`wait_limit`](Self::wait_limit), is a connection to a server, and one that takes writes:
    /// then a call, also one that reads, is `Overloaded` without the first, and `Unavailable` where it has met a standby or a server
    /// that was replaced. Nothing is applied in either case.
    pub fn pgbouncer(mut self) -> Self {
        self.pgbouncer = true;
        self
    }

    /// Keeps an index of the words in final messages, for [`Persistence::search`](throughline_core::Persistence::search). Without it
    /// a search is refused as `Unsupported`.
    ///
    /// It follows the commits on a connection of its own, in transactions of its own, and takes about twice the room of the text.
    /// One process at a time goes on with it, whichever has something to do first; on a store that has none it is made of every
    /// message there is. A process that was opened without it, on a store that has one, takes from it what goes from the store.
    /// Keep more changes than come while it is made.
    pub fn search(mut self, keep: bool) -> Self {
        self.search = keep;
        self
    }

    /// How the index divides a text into words: [`Tokenizer::Words`]. [`Tokenizer::Cjk`] finds Chinese, Japanese and Korean inside a run
    /// of characters. A store that was indexed by another one is indexed again when it is opened with [`search`](Self::search); until
    /// that is done [`SearchHits::indexed`](throughline_core::search::SearchHits::indexed) is zero. Processes that share a store choose alike:
    /// the one that opened it last decides, and `indexed` stays zero for the others.
    pub fn tokenizer(mut self, tokenizer: Tokenizer) -> Self {
        self.tokenizer = tokenizer;
        self
    }

    /// Names the server itself, or all of them, past the pooler: one connection listens there to the commits of other processes, which
    /// a pooler does not pass on. Without [`pgbouncer`](Self::pgbouncer) it is listened there too, and not where `open` says.
    /// [`open`](Self::open) refuses what is no URL, and what cannot be reached is tried again later, as everywhere.
    pub fn listen_at(mut self, url: impl Into<String>) -> Self {
        self.listen_at = Some(url.into());
        self
    }

    /// Has the server itself keep tenants apart, by a policy on each table with rows of tenants: a second wall, behind what the
    /// statements say. The store is made so, or one that is there gets it, by a role that owns its tables; all hosts have to open it
    /// so from then on. The role must be no superuser and have no `BYPASSRLS`.
    ///
    /// A call on a store whose policies somebody has changed is `Denied`.
    pub fn row_security(mut self) -> Self {
        self.row_security = true;
        self
    }

    /// Opens the store in the database of this URL, and makes it if it is not there: its tables stand in the schema `throughline`.
    ///
    /// The URL may name several hosts, `postgres://app:secret@one:5432,two:5432/app`: a primary and its standbys. The one that takes
    /// writes is used, and looked for anew when it does not any more.
    ///
    /// # Errors
    /// [`OpenError`]; the database is as it was then.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, it opens nothing; a schema that was being made is made whole or not at all, perhaps later.
    pub async fn open(self, url: &str) -> Result<PostgresBackend, OpenError> {
        let hosts = hosts::parse(url).ok_or(OpenError::Url)?;
        self.open_with_hosts(hosts).await
    }

    /// As [`open`](Self::open), with everything that sqlx can be told of a connection.
    ///
    /// # Errors
    /// As of [`open`](Self::open).
    ///
    /// # Cancel safety
    /// As of [`open`](Self::open).
    pub async fn open_with(self, connect: PgConnectOptions) -> Result<PostgresBackend, OpenError> {
        self.open_with_hosts([connect]).await
    }

    /// As [`open_with`](Self::open_with), with everything that sqlx can be told of a connection to each of several hosts.
    ///
    /// # Errors
    /// As of [`open`](Self::open); [`OpenError::Url`] where there is no host.
    ///
    /// # Cancel safety
    /// As of [`open`](Self::open).
    pub async fn open_with_hosts(
        self,
        hosts: impl IntoIterator<Item = PgConnectOptions>,
    ) -> Result<PostgresBackend, OpenError> {
        let adjusted = |host: PgConnectOptions| {
            if self.pgbouncer {
                host.statement_cache_capacity(0).extra_float_digits(None)
            } else {
                host.statement_cache_capacity(STATEMENTS)
                    .options(OF_EVERY_SESSION)
                    .options([(ROW_SECURITY, on_or_off(self.row_security))])
            }
        };
        let hosts: Vec<_> = hosts.into_iter().map(adjusted).collect();
        if hosts.is_empty() {
            return Err(OpenError::Url);
        }
        let listening = match self.listen_at.as_deref().map(hosts::parse) {
            None => None,
            Some(None) => return Err(OpenError::Url),
            Some(Some(hosts)) => Some(Servers::new(hosts, false)),
        };
        let servers = Servers::new(hosts, self.pgbouncer);
        let settings = Settings { servers, listening, options: self };
        let engine = Engine::start().map_err(OpenError::Threads)?;
        let opening = settings.clone();
        let opened = engine.handle().spawn(async move { open::open(&opening).await });
        let (has_index, key) =
            opened.await.unwrap_or_else(|lost| Err(OpenError::Threads(io::Error::other(lost))))?;
        Ok(PostgresBackend::new(settings, &engine, has_index, key))
    }
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
            .field("search", &self.search)
            .field("tokenizer", &self.tokenizer)
            // Not where: that may hold a password.
            .field("listens_elsewhere", &self.listen_at.is_some())
            .field("row_security", &self.row_security)
            .finish()
    }
}

/// Options, and where to connect.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) servers: Arc<Servers>,
    /// Where it is listened, where that is not the same.
    pub(crate) listening: Option<Arc<Servers>>,
    pub(crate) options: PostgresOptions,
}

impl Settings {
    /// What is set for reads as well.
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
            // A transaction whose writer is gone does not hold its locks for ever.
            ("idle_in_transaction_session_timeout", answer.max(1)),
        ] {
            // Writing into a string does not fail.
            let _ = write!(sql, "SET {local}{name} = {value}; ");
        }
        // What a commit is warned of has to be heard.
        let _ = write!(sql, "SET {local}client_min_messages = warning; ");
        // Every look-up has its index. A plan that reads a whole table because it was small when it was counted would lock nobody
        // out, and cost what the table holds.
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
    fn every_setting_is_shown_and_no_place_to_connect_to() {
        let options = PostgresOptions::new().search(true).row_security().listen_at("postgres://a:secret@b/c");
        let shown = format!("{options:?}");
        for setting in ["writers: 2", "search: true", "row_security: true", "listens_elsewhere: true"] {
            assert!(shown.contains(setting), "{setting}: {shown}");
        }
        assert!(!shown.contains("secret"), "{shown}");
    }
}
