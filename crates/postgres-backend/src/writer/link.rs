use std::time::Duration;

use sqlx::{Connection as _, PgConnection, Row as _};
use throughline_core::ErrorKind;
use tokio::time::timeout;

use crate::{
    error::{Failure, Reach},
    options::Settings,
};

/// A connection that is made when it is needed, and made anew once it was lost.
#[derive(Debug)]
pub(crate) struct Link {
    settings: Settings,
    connection: Option<PgConnection>,
}

impl Link {
    pub(crate) const fn new(settings: Settings) -> Self {
        Self { settings, connection: None }
    }

    /// The connection, to a server that takes writes.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn get(&mut self) -> Result<&mut PgConnection, Failure> {
        let limit = self.settings.options.answer_limit;
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => in_time(limit, connect(&self.settings)).await?,
        };
        Ok(self.connection.insert(connection))
    }

    /// Lets go of the connection: it is of no use any more, or nobody knows in what state it is.
    pub(crate) fn lose(&mut self) {
        self.connection = None;
    }

    /// Takes the connection away from here while it is used: whoever does not bring it back has lost it.
    pub(crate) const fn take(&mut self) -> Option<PgConnection> {
        self.connection.take()
    }

    pub(crate) fn bring_back(&mut self, connection: PgConnection) {
        self.connection = Some(connection);
    }

    pub(crate) async fn close(mut self) {
        if let Some(connection) = self.connection.take() {
            // It says good-bye to a server that may not be there any more.
            drop(timeout(Duration::from_secs(1), connection.close()).await);
        }
    }
}

/// Runs something that a server may never answer.
pub(crate) async fn in_time<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, Failure> {
    match timeout(limit, work).await {
        Ok(answer) => answer.map_err(Failure::from),
        Err(_) => Err(Failure::silence()),
    }
}

async fn connect(settings: &Settings) -> sqlx::Result<PgConnection> {
    let mut connection = PgConnection::connect_with(&settings.connect).await?;
    let row = sqlx::query("SELECT pg_is_in_recovery() AS standby")
        .persistent(false)
        .fetch_one(&mut connection)
        .await?;
    if row.try_get("standby")? {
        return Err(sqlx::Error::Io(std::io::Error::other("the server is a standby")));
    }
    if !settings.options.pgbouncer {
        sqlx::raw_sql(sqlx::AssertSqlSafe(settings.of_writer(""))).execute(&mut connection).await?;
    }
    Ok(connection)
}

/// A server that does not take writes is one that is not there.
pub(crate) fn is_outage(failure: &Failure) -> bool {
    failure.kind == ErrorKind::Unavailable && failure.reach == Reach::Connection
}
