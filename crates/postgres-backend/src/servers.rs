//! Selects the primary among several hosts, also after a failover.
//!
//! Each promotion starts a timeline with a higher number. A process that saw a timeline uses no server of an
//! earlier one: that is a replaced primary that came back. `docs/decisions/0041` describes what this detects and
//! what it cannot.

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use sqlx::{
    Connection as _, PgConnection, Row as _,
    postgres::{PgConnectOptions, PgRow},
};
use throughline_core::Position;
use tokio::time::{Instant, timeout, timeout_at};

use crate::{OpenError, error::Failure, options::STATEMENTS, pooler::Refusal, rows::counter};

/// How long to wait for the other hosts after a primary was found: one of them may have been promoted since.
const GRACE: Duration = Duration::from_secs(1);

/// The longest wait for all hosts before they are asked again, if there are several. A host that does not answer
/// must not hide that another one was promoted meanwhile.
const ROUND: Duration = Duration::from_secs(3);

/// The hosts of a store and the latest observation.
#[derive(Debug)]
pub(crate) struct Servers {
    hosts: Vec<PgConnectOptions>,
    /// Whether the hosts are poolers. Then a connection says nothing about the server, and each transaction checks
    /// it.
    are_poolers: bool,
    /// Whether the poolers keep the prepared statements of their clients, as declared and not refuted.
    keep_statements: AtomicBool,
    seen: Mutex<Seen>,
}

/// The latest observed timeline and position. A valid primary is not behind them.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Seen {
    /// The highest timeline.
    timeline: u32,
    /// The last position of the store on it.
    position: Position,
    /// The host of the primary.
    host: usize,
}

/// A connection to a primary.
#[derive(Debug)]
pub(crate) struct Connected {
    pub(crate) connection: PgConnection,
    pub(crate) timeline: u32,
}

/// The reason why there is no connection to a primary.
#[derive(Debug)]
pub(crate) enum NoServer {
    /// A standby answered.
    Standby,
    /// A primary answered, but another server was promoted since.
    Replaced,
    /// No usable answer came in time.
    Silent,
    /// The pooler answered, but has no server connection.
    Waiting,
    /// A server answered with an error.
    Error(sqlx::Error),
}

impl NoServer {
    /// Returns the priority of a reason among several.
    const fn priority(&self) -> u8 {
        match self {
            Self::Silent => 0,
            Self::Error(_) => 1,
            Self::Waiting => 2,
            Self::Standby => 3,
            Self::Replaced => 4,
        }
    }

    /// Returns the reason why a writing transaction did not begin.
    pub(crate) fn of_begin(error: sqlx::Error) -> Self {
        // At the beginning of a transaction, this SQLSTATE only comes from a standby.
        let is_standby = |error: &dyn sqlx::error::DatabaseError| error.code().as_deref() == Some("0A000");
        if error.as_database_error().is_some_and(is_standby) { Self::Standby } else { Self::Error(error) }
    }
}

impl From<sqlx::Error> for NoServer {
    fn from(error: sqlx::Error) -> Self {
        Self::Error(error)
    }
}

impl From<NoServer> for Failure {
    fn from(none: NoServer) -> Self {
        match none {
            NoServer::Standby => {
                Self::no_server("no server accepts writes: the server that answered is a standby")
            }
            NoServer::Replaced => {
                Self::no_server("the server was replaced by another, which does not answer")
            }
            NoServer::Silent => Self::timed_out(),
            NoServer::Waiting => Self::pool_exhausted(),
            NoServer::Error(error) => error.into(),
        }
    }
}

impl From<NoServer> for OpenError {
    fn from(none: NoServer) -> Self {
        match none {
            NoServer::Standby | NoServer::Replaced => Self::NoPrimary,
            NoServer::Silent => sqlx::Error::Io(io::ErrorKind::TimedOut.into()).into(),
            NoServer::Waiting => Self::Pooler { reason: Refusal::NoServer.advice() },
            NoServer::Error(error) => error.into(),
        }
    }
}

/// The state that a server reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    /// `None` on a standby.
    timeline: Option<u32>,
    /// The position of the store, if requested.
    position: Option<Position>,
}

impl Look {
    /// Decodes the row of [`LOOK`], with the position if it was requested.
    fn read(row: &PgRow, with_position: bool) -> sqlx::Result<Self> {
        let name: Option<&str> = row.try_get("wal")?;
        let timeline = name.map(timeline_of).transpose()?;
        let position: Option<i64> = if with_position { row.try_get("position")? } else { None };
        Ok(Self { timeline, position: position.and_then(counter).map(Position::new) })
    }
}

impl Seen {
    /// Returns whether the store exists. Before the first observation, it may not.
    pub(crate) fn knows_the_store(&self) -> bool {
        self.position > Position::ZERO
    }

    /// Returns the last position of the store.
    pub(crate) const fn position(&self) -> Position {
        self.position
    }

    /// Checks that a server is the current primary or a later one. Compares with the observation from `before` the
    /// query: the server may have committed more since, before its answer was recorded.
    fn admits(&self, look: Look, before: Self) -> Result<u32, NoServer> {
        let timeline = look.timeline.ok_or(NoServer::Standby)?;
        // Two standbys that were both promoted have the same timeline number; one of them lacks commits.
        let lacks = look.position.is_some_and(|position| position < before.position);
        if timeline < self.timeline || (timeline == before.timeline && lacks) {
            return Err(NoServer::Replaced);
        }
        Ok(timeline)
    }
}

impl Servers {
    pub(crate) fn new(hosts: Vec<PgConnectOptions>, are_poolers: bool) -> Arc<Self> {
        Arc::new(Self { hosts, are_poolers, keep_statements: AtomicBool::new(false), seen: Mutex::default() })
    }

    /// Returns whether the poolers keep the prepared statements of their clients.
    pub(crate) fn keep_statements(&self) -> bool {
        self.keep_statements.load(Ordering::Relaxed)
    }

    /// Records whether they do. Connections that are made from now on cache statements, or do not.
    pub(crate) fn set_keep_statements(&self, keep: bool) {
        self.keep_statements.store(keep, Ordering::Relaxed);
    }

    /// Returns the options for a connection to a host.
    fn options(&self, host: usize) -> PgConnectOptions {
        let options = self.hosts[host].clone();
        match self.are_poolers {
            true if self.keep_statements() => options.statement_cache_capacity(STATEMENTS),
            true => options.statement_cache_capacity(0),
            false => options,
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // No code panics while it holds the lock.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether no later timeline was observed.
    pub(crate) fn is_current(&self, timeline: u32) -> bool {
        self.seen().timeline == timeline
    }

    /// Records the position of the store, as a server of this timeline reported it.
    pub(crate) fn saw(&self, timeline: u32, position: Position) {
        let mut seen = self.seen();
        if seen.timeline == timeline {
            seen.position = seen.position.max(position);
        }
    }

    /// Returns the host of the last primary and its timeline.
    pub(crate) fn last(&self) -> (PgConnectOptions, u32) {
        let seen = *self.seen();
        (self.hosts[seen.host].clone(), seen.timeline)
    }

    /// Returns the present observation, to compare with the next transaction.
    pub(crate) fn before(&self) -> Seen {
        *self.seen()
    }

    /// Returns the timeline of a transaction's server, as found at its beginning.
    ///
    /// # Errors
    /// Returns an error if the server is a standby or was replaced.
    pub(crate) fn admit(&self, row: &PgRow, before: Seen) -> Result<u32, NoServer> {
        self.observe(Look::read(row, before.knows_the_store())?, before)
    }

    /// Connects to the last primary if it is still the primary; otherwise asks all hosts.
    pub(crate) async fn connect_again(&self, limit: Duration) -> Result<Connected, NoServer> {
        let until = Instant::now() + limit;
        let seen = *self.seen();
        if seen.timeline > 0
            && self.hosts.len() > 1
            && let Ok(Ok((connection, look))) =
                timeout(limit.min(ROUND), self.reach(seen.host, seen.position, &AtomicBool::default())).await
            && look.timeline == Some(seen.timeline)
            && let Ok(timeline) = self.observe(look, seen)
        {
            return Ok(Connected { connection, timeline });
        }
        self.connect(until.saturating_duration_since(Instant::now())).await
    }

    /// Connects to the primary: asks all hosts at once, and chooses the primary that was promoted last.
    ///
    /// # Errors
    /// Returns the most informative reason.
    pub(crate) async fn connect(&self, limit: Duration) -> Result<Connected, NoServer> {
        if self.are_poolers && self.hosts.len() == 1 {
            return self.connect_to_pooler(limit).await;
        }
        let begun = Instant::now();
        let mut until = begun + if self.hosts.len() > 1 { limit.min(ROUND) } else { limit };
        let before = *self.seen();
        let waits = AtomicBool::default();
        let mut asked: FuturesUnordered<_> = (0..self.hosts.len())
            .map(|host| {
                let waits = &waits;
                async move { (host, self.reach(host, before.position, waits).await) }
            })
            .collect();
        let mut best: Option<(PgConnection, Look, usize)> = None;
        let mut why = NoServer::Silent;
        while let Ok(Some((host, reached))) = timeout_at(until, asked.next()).await {
            let admitted = reached.and_then(|(connection, look)| {
                self.seen().admits(look, before)?;
                Ok((connection, look))
            });
            match admitted {
                Ok((connection, look)) => {
                    until = until.min(Instant::now() + GRACE);
                    if best.as_ref().is_none_or(|(_, best, _)| best.timeline < look.timeline) {
                        best = Some((connection, look, host));
                    }
                }
                Err(other) if other.priority() >= why.priority() => why = other,
                Err(_) => {}
            }
        }
        if self.are_poolers
            && waits.load(Ordering::Relaxed)
            && matches!(why, NoServer::Silent | NoServer::Error(_))
        {
            why = NoServer::Waiting;
        }
        let (connection, look, host) = best.ok_or(why)?;
        let timeline = self.observe(look, Seen { host, ..before })?;
        Ok(Connected { connection, timeline })
    }

    /// Connects to the only pooler. Each transaction checks the server behind it.
    async fn connect_to_pooler(&self, limit: Duration) -> Result<Connected, NoServer> {
        let connecting = timeout(limit, PgConnection::connect_with(&self.options(0))).await;
        let connection = connecting.map_err(|_| NoServer::Silent)??;
        Ok(Connected { connection, timeline: self.seen().timeline })
    }

    /// Records an observation, unless another server was promoted in the meantime.
    fn observe(&self, look: Look, before: Seen) -> Result<u32, NoServer> {
        let mut seen = self.seen();
        let timeline = seen.admits(look, before)?;
        let host = before.host;
        if timeline > seen.timeline {
            let position = look.position.unwrap_or_default();
            if position < seen.position {
                let lost = seen.position.get() - position.get();
                tracing::error!(
                    timeline,
                    lost,
                    "the server that was promoted lacks commits that were answered"
                );
            }
            *seen = Seen { timeline, position, host };
        }
        seen.host = host;
        Ok(timeline)
    }

    /// Connects to one host, in any role. Signals when there is a connection that waits for its first answer.
    async fn reach(
        &self,
        host: usize,
        seen: Position,
        waits: &AtomicBool,
    ) -> Result<(PgConnection, Look), NoServer> {
        let mut connection = PgConnection::connect_with(&self.options(host)).await?;
        waits.store(true, Ordering::Relaxed);
        // A simple query: a pooler may use another connection for the second step of a prepared one.
        let row = sqlx::raw_sql(LOOK).fetch_one(&mut connection).await?;
        let mut look = Look::read(&row, false)?;
        // Before the first observation, the store may not exist.
        if look.timeline.is_some() && seen > Position::ZERO {
            let row = sqlx::raw_sql(POSITION).fetch_optional(&mut connection).await?;
            let position = row.map(|row| row.try_get::<i64, _>("position")).transpose()?;
            look.position = position.and_then(counter).map(Position::new);
        }
        Ok((connection, look))
    }
}

/// The name of the current WAL file contains the timeline. A standby writes none.
pub(crate) const LOOK: &str =
    "SELECT CASE WHEN NOT pg_is_in_recovery() THEN pg_walfile_name(pg_current_wal_lsn()) END AS wal";

const POSITION: &str = "SELECT position FROM throughline.store WHERE id = 1";

fn timeline_of(name: &str) -> Result<u32, sqlx::Error> {
    let number = name.get(..8).and_then(|digits| u32::from_str_radix(digits, 16).ok());
    number.ok_or_else(|| sqlx::Error::Protocol("the server does not report its timeline".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(timeline: u32, position: u64) -> Look {
        Look { timeline: Some(timeline), position: Some(Position::new(position)) }
    }

    #[test]
    fn server_of_an_earlier_timeline_or_without_committed_positions_is_refused() {
        let seen = Seen { timeline: 0x1F, position: Position::new(10), host: 0 };
        assert_eq!(seen.admits(look(0x1F, 10), seen).unwrap(), 0x1F);
        assert_eq!(seen.admits(look(0x1F, 11), seen).unwrap(), 0x1F);
        assert!(matches!(seen.admits(look(0x1F, 9), seen), Err(NoServer::Replaced)));
        assert!(matches!(seen.admits(look(0x1E, 99), seen), Err(NoServer::Replaced)));
        // Commits that an asynchronous standby did not receive are lost, and the store continues.
        assert_eq!(seen.admits(look(0x20, 9), seen).unwrap(), 0x20);
        let standby = Look { timeline: None, position: None };
        assert!(matches!(seen.admits(standby, seen), Err(NoServer::Standby)));
        let first = Seen::default();
        assert_eq!(first.admits(Look { timeline: Some(1), position: None }, first).unwrap(), 1);
    }

    #[test]
    fn commits_after_the_query_do_not_make_a_server_stale() {
        let before = Seen { timeline: 2, position: Position::new(10), host: 0 };
        let now = Seen { position: Position::new(15), ..before };
        assert_eq!(now.admits(look(2, 12), before).unwrap(), 2);
        // Another task has observed a later one in the meantime.
        let later = Seen { timeline: 3, position: Position::new(5), host: 1 };
        assert!(matches!(later.admits(look(2, 12), before), Err(NoServer::Replaced)));
        assert_eq!(later.admits(look(3, 6), before).unwrap(), 3);
    }

    #[test]
    fn timeline_is_read_from_the_name_of_the_wal_file() {
        assert_eq!(timeline_of("0000001F0000000000000001").unwrap(), 31);
        assert!(timeline_of("0000").is_err());
        assert!(timeline_of("zzzzzzzz0000000000000001").is_err());
    }

    #[test]
    fn position_of_one_timeline_is_not_required_on_the_next() {
        let servers = Servers::new(vec![PgConnectOptions::new()], false);
        *servers.seen() = Seen { timeline: 2, position: Position::new(3), host: 0 };
        servers.saw(1, Position::new(50));
        servers.saw(2, Position::new(4));
        servers.saw(2, Position::new(1));
        assert_eq!(servers.seen().position, Position::new(4));
        assert!(servers.is_current(2) && !servers.is_current(1));
    }
}
