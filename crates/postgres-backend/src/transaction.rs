//! Beginning a transaction.
//!
//! On a direct connection, the settings belong to the session, and the server was checked when the connection was
//! made. Behind a pooler, each transaction may run on another connection, even to another server. So it brings its
//! settings and checks the server.

use std::{borrow::Cow, time::Duration};

use sqlx::{AssertSqlSafe, PgConnection, Row as _, postgres::PgRow};
use tokio::time::timeout;

use crate::{
    error::{Failure, damaged},
    options::Settings,
    pooler::names_are_passed_on,
    row_security::Reach,
    servers::{LOOK, NoServer, Seen},
    writer::in_time,
};

/// The kind of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    Writes,
    /// In one snapshot.
    Reads,
}

/// A transaction that has begun, or is about to.
#[derive(Debug)]
pub(crate) struct Begun {
    /// The SQL to send before the first statement; may be empty.
    pub(crate) first: Cow<'static, str>,
    /// Whether a single statement may run without the transaction, because there are no settings to send.
    pub(crate) is_optional: bool,
    /// The timeline of the server, if it was unknown before.
    pub(crate) timeline: Option<u32>,
}

impl Begun {
    /// Sends the first SQL, if there is any.
    pub(crate) async fn say(&self, db: &mut PgConnection) -> sqlx::Result<()> {
        if self.first.is_empty() {
            return Ok(());
        }
        sqlx::raw_sql(AssertSqlSafe(&*self.first)).execute(db).await.map(drop)
    }
}

impl Of {
    const fn begin(self) -> &'static str {
        match self {
            // Explicit, because the role may have another default level or read-only transactions.
            Self::Writes => "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; ",
            Self::Reads => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; ",
        }
    }
}

/// Begins a transaction, or returns the SQL that begins it. Through a pooler, `limit` is the longest wait for a
/// server connection.
///
/// # Errors
/// Returns an error if the pooler assigned no server connection in time, or one to a replaced server or a standby.
pub(crate) async fn begin(
    settings: &Settings,
    db: &mut PgConnection,
    of: Of,
    reach: impl FnOnce() -> Reach,
    limit: Duration,
) -> Result<Begun, Failure> {
    let reach = if settings.options.row_security { reach().statement() } else { String::new() };
    if !settings.options.pgbouncer {
        let is_optional = reach.is_empty();
        let first = if is_optional { of.begin().into() } else { format!("{}{reach}", of.begin()).into() };
        return Ok(Begun { first, is_optional, timeline: None });
    }
    let pooled = BehindPooler::new(settings);
    let sql = pooled.begin(settings, of, &reach);
    let asked = timeout(limit, sqlx::raw_sql(AssertSqlSafe(sql)).fetch_one(db)).await;
    let row = asked.map_err(|_| Failure::from(NoServer::Waiting))?.map_err(NoServer::of_begin)?;
    let timeline = pooled.admit(settings, &row)?;
    Ok(Begun { first: "".into(), is_optional: false, timeline: Some(timeline) })
}

/// A transaction that has begun with its first statements.
#[derive(Debug)]
pub(crate) struct BegunWith {
    /// The rows of the settings, and of the first statements after them.
    pub(crate) rows: Vec<PgRow>,
    /// The timeline of the server, if it was unknown before.
    pub(crate) timeline: Option<u32>,
}

/// Begins a transaction and runs its first statements, in one message. Behind a pooler, they must not wait for a lock: after `limit`,
/// nothing shows whether the pooler has assigned a server connection.
///
/// # Errors
/// Those of [`begin`], and of the statements.
pub(crate) async fn begin_with(
    settings: &Settings,
    db: &mut PgConnection,
    of: Of,
    reach: impl FnOnce() -> Reach,
    limit: Duration,
    statements: &str,
) -> Result<BegunWith, Failure> {
    let reach = if settings.options.row_security { reach().statement() } else { String::new() };
    if !settings.options.pgbouncer {
        let sql = format!("{}{reach}{statements}", of.begin());
        let asked = async { sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(db).await };
        let rows = in_time(settings.options.answer_limit + settings.options.wait_limit, asked).await?;
        return Ok(BegunWith { rows, timeline: None });
    }
    let pooled = BehindPooler::new(settings);
    let sql = format!("{}{statements}", pooled.begin(settings, of, &reach));
    let asked = timeout(limit, sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(db)).await;
    let rows = asked.map_err(|_| Failure::from(NoServer::Waiting))?.map_err(NoServer::of_begin)?;
    let state = rows.first().ok_or_else(|| damaged("the state of the server".to_owned()))?;
    let timeline = pooled.admit(settings, state)?;
    Ok(BegunWith { rows, timeline: Some(timeline) })
}

/// The state of a store behind a pooler before a transaction begins.
#[derive(Debug, Clone, Copy)]
struct BehindPooler {
    before: Seen,
    /// Whether the pooler keeps the prepared statements of its clients.
    keeps_statements: bool,
}

impl BehindPooler {
    fn new(settings: &Settings) -> Self {
        Self { before: settings.servers.before(), keeps_statements: settings.servers.keep_statements() }
    }

    /// Returns the beginning of a transaction: its settings, and the state of the server in its first row.
    fn begin(self, settings: &Settings, of: Of, reach: &str) -> String {
        let settings_of_it = match of {
            Of::Writes => settings.of_writer("LOCAL "),
            Of::Reads => settings.of_reader("LOCAL "),
        };
        let position = if self.before.knows_the_store() {
            ", (SELECT position FROM throughline.store WHERE id = 1) AS position"
        } else {
            ""
        };
        let (forget, passed_on) = if self.keeps_statements {
            ("", concat!(", ", names_are_passed_on!(), " AS passed_on"))
        } else {
            (FORGET_NAMES, "")
        };
        format!("{}{forget}{settings_of_it}{LOOK}{position}{passed_on}; {reach}", of.begin())
    }

    /// Returns the timeline of the server.
    ///
    /// # Errors
    /// Returns an error if the server is not the primary. Also if the pooler no longer keeps statements: another client of this server
    /// connection may have prepared a statement with a name that this client has for another one.
    fn admit(self, settings: &Settings, row: &PgRow) -> Result<u32, Failure> {
        if self.keeps_statements && row.try_get("passed_on")? {
            tracing::warn!(
                "the pooler no longer keeps prepared statements: the server prepares each statement again in each transaction"
            );
            settings.servers.set_keep_statements(false);
            return Err(Failure::lost());
        }
        Ok(settings.servers.admit(row, self.before)?)
    }
}

/// Removes the statements that the former user of the server connection may have left with the names of the driver, if the pooler
/// passes them on. The driver names its statements even without a cache.
pub(crate) const FORGET_NAMES: &str = "DEALLOCATE ALL; ";
