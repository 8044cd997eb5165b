use std::time::Duration;

use sqlx::{Connection as _, PgConnection};
use throughline_core::Position;
use tokio::time::timeout;

use crate::{error::Failure, options::Settings, servers::Connected};

/// A connection that is made when it is needed, and made anew once it was lost, or once another server was promoted.
#[derive(Debug)]
pub(crate) struct Link {
    settings: Settings,
    connection: Option<PgConnection>,
    /// Of the server that it leads to, or led to.
    timeline: u32,
}

impl Link {
    pub(crate) const fn new(settings: Settings) -> Self {
        Self { settings, connection: None, timeline: 0 }
    }

    /// The connection, to a server that takes writes.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn get(&mut self) -> Result<&mut PgConnection, Failure> {
        let connection = match self.connection.take() {
            Some(connection) if self.is_current() => connection,
            _ => {
                let connected = connect(&self.settings).await?;
                self.timeline = connected.timeline;
                connected.connection
            }
        };
        Ok(self.connection.insert(connection))
    }

    /// Whether no server was seen that was promoted over the one that it leads to.
    pub(crate) fn is_current(&self) -> bool {
        self.settings.servers.is_current(self.timeline)
    }

    /// Notes how far the store has come on that server.
    pub(crate) fn saw(&self, position: Position) {
        self.settings.servers.saw(self.timeline, position);
    }

    /// Notes which server a transaction is on, where a pooler has chosen it.
    pub(crate) fn leads_to(&mut self, timeline: Option<u32>) {
        self.timeline = timeline.unwrap_or(self.timeline);
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
        Err(_) => Err(Failure::timed_out()),
    }
}

async fn connect(settings: &Settings) -> Result<Connected, Failure> {
    let limit = settings.options.answer_limit;
    let mut connected = settings.servers.connect(limit).await?;
    if !settings.options.pgbouncer {
        let sql = sqlx::AssertSqlSafe(settings.of_writer(""));
        in_time(limit, async { sqlx::raw_sql(sql).execute(&mut connected.connection).await.map(drop) })
            .await?;
    }
    Ok(connected)
}
