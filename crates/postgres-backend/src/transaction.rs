//! How a transaction begins.
//!
//! On a connection of our own the settings are those of the session, and the server is the one that was looked at when it was made.
//! Behind a pooler each transaction may be on another connection, of another server even: so it brings its settings, and looks.

use std::{borrow::Cow, time::Duration};

use sqlx::{AssertSqlSafe, PgConnection};
use tokio::time::timeout;

use crate::{
    error::Failure,
    options::Settings,
    row_security::Reach,
    servers::{LOOK, NoServer},
};

/// What is done in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    Writes,
    /// Of one moment of the store.
    Reads,
}

/// A transaction that has begun, or is about to.
#[derive(Debug)]
pub(crate) struct Begun {
    /// What is to be sent in front of the first statement; it may be nothing.
    pub(crate) first: Cow<'static, str>,
    /// Whether one statement is as good by itself: it needs nothing that a transaction says first.
    pub(crate) is_optional: bool,
    /// Of the server that it is on, where that was not known before.
    pub(crate) timeline: Option<u32>,
}

impl Begun {
    /// Sends what is to be sent first, where there is anything.
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
            // Said, because another level or a transaction that only reads may be what is set for the role.
            Self::Writes => "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; ",
            Self::Reads => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; ",
        }
    }
}

/// Begins one, or says how. Through a pooler, `limit` is how long it may take until there is a connection to a server.
///
/// # Errors
/// Where the pooler gives none in time, or one to a server that was replaced, or takes no writes.
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
    let before = settings.servers.before();
    let settings_of_it = match of {
        Of::Writes => settings.of_writer("LOCAL "),
        Of::Reads => settings.of_reader("LOCAL "),
    };
    // The driver names its statements even where it keeps none. Whoever had this connection before has left some of the same name.
    let position = if before.knows_the_store() {
        ", (SELECT position FROM throughline.store WHERE id = 1) AS position"
    } else {
        ""
    };
    let sql = format!("{}DEALLOCATE ALL; {settings_of_it}{LOOK}{position}; {reach}", of.begin());
    let asked = timeout(limit, sqlx::raw_sql(AssertSqlSafe(sql)).fetch_one(db)).await;
    let row = asked.map_err(|_| Failure::from(NoServer::Waiting))?.map_err(NoServer::of_begin)?;
    let timeline = settings.servers.admit(&row, before)?;
    Ok(Begun { first: "".into(), is_optional: false, timeline: Some(timeline) })
}
