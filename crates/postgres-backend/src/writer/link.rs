use std::time::Duration;

use sqlx::{Connection as _, PgConnection};
use throughline_core::Position;
use tokio::time::timeout;

use crate::{error::Failure, options::Settings, servers::Connected};

/// A connection that opens on demand, and reconnects after it was lost or another server was promoted.
#[derive(Debug)]
pub(crate) struct Link {
    settings: Settings,
    connection: Option<PgConnection>,
    /// The timeline of the current or last server.
    timeline: u32,
}

impl Link {
    pub(crate) const fn new(settings: Settings) -> Self {
        Self { settings, connection: None, timeline: 0 }
    }

    /// Returns the connection to the primary.
    ///
    /// # Errors
    /// Returns the reason why there is no connection.
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

    /// Returns whether no later promotion than that of this server was observed.
    pub(crate) fn is_current(&self) -> bool {
        self.settings.servers.is_current(self.timeline)
    }

    /// Records the position of the store on that server.
    pub(crate) fn saw(&self, position: Position) {
        self.settings.servers.saw(self.timeline, position);
    }

    /// Records the timeline of a transaction's server, if a pooler chose it.
    pub(crate) fn set_timeline(&mut self, timeline: Option<u32>) {
        self.timeline = timeline.unwrap_or(self.timeline);
    }

    /// Drops the connection: it is unusable, or its state is unknown.
    pub(crate) fn lose(&mut self) {
        self.connection = None;
    }

    /// Takes the connection out while it is used. Without [`bring_back`](Self::bring_back), the link has lost it.
    pub(crate) const fn take(&mut self) -> Option<PgConnection> {
        self.connection.take()
    }

    pub(crate) fn bring_back(&mut self, connection: PgConnection) {
        self.connection = Some(connection);
    }

    pub(crate) async fn close(mut self) {
        if let Some(connection) = self.connection.take() {
            // Closing sends a message to a server that may be gone.
            drop(timeout(Duration::from_secs(1), connection.close()).await);
        }
    }
}

/// Runs a query with a time limit.
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
