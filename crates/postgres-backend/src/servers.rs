//! Which server takes the writes: of several hosts one at a time, and not for ever the same.
//!
//! Each promotion begins a timeline with a higher number. Whoever has seen one talks to no server of an earlier one any more: that is a
//! primary that was replaced, and came back. `docs/decisions/0041` tells what that recognizes and what it cannot.

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

use crate::{OpenError, error::Failure, pooler::Refusal, rows::counter};

/// How long it is waited for the other hosts once one was found that takes writes: one of them may have been promoted over it.
const GRACE: Duration = Duration::from_secs(1);

/// How long the hosts are waited for at most, where there are several, before all are asked anew: one that does not answer must not
/// hide that another was promoted meanwhile.
const ROUND: Duration = Duration::from_secs(3);

/// The hosts of a store, and what was seen of them.
#[derive(Debug)]
pub(crate) struct Servers {
    hosts: Vec<PgConnectOptions>,
    /// Whether they are poolers: a connection says nothing of the server then, and each transaction looks for itself.
    are_poolers: bool,
    seen: Mutex<Seen>,
}

/// What no server may fall behind.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Seen {
    /// The highest timeline.
    timeline: u32,
    /// How far the store had come on it.
    position: Position,
    /// Whose it was.
    host: usize,
}

/// A connection to a server that takes writes.
#[derive(Debug)]
pub(crate) struct Connected {
    pub(crate) connection: PgConnection,
    pub(crate) timeline: u32,
}

/// Why there is none.
#[derive(Debug)]
pub(crate) enum NoServer {
    /// What answered is a standby.
    Standby,
    /// What answered takes writes, and another one was promoted over it.
    Replaced,
    /// Nothing that is of use answered in time.
    Silent,
    /// A pooler that answers, and has no connection to a server.
    Waiting,
    /// What was answered.
    Error(sqlx::Error),
}

impl NoServer {
    /// Which of several reasons says most.
    const fn weight(&self) -> u8 {
        match self {
            Self::Silent => 0,
            Self::Error(_) => 1,
            Self::Waiting => 2,
            Self::Standby => 3,
            Self::Replaced => 4,
        }
    }

    /// Why a transaction that was to write has not begun.
    pub(crate) fn of_begin(error: sqlx::Error) -> Self {
        // Nothing else about the beginning of a transaction is not supported.
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
            NoServer::Standby => Self::no_server("no server takes writes: what answers is a standby"),
            NoServer::Replaced => {
                Self::no_server("the server was replaced by another, which does not answer")
            }
            NoServer::Silent => Self::timed_out(),
            NoServer::Waiting => Self::no_place(),
            NoServer::Error(error) => error.into(),
        }
    }
}

impl From<NoServer> for OpenError {
    fn from(none: NoServer) -> Self {
        match none {
            NoServer::Standby | NoServer::Replaced => Self::NoPrimary,
            NoServer::Silent => sqlx::Error::Io(io::ErrorKind::TimedOut.into()).into(),
            NoServer::Waiting => Self::Pooler { what: Refusal::NoServer.what() },
            NoServer::Error(error) => error.into(),
        }
    }
}

/// What a server says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    /// Nothing of a standby.
    timeline: Option<u32>,
    /// Of the store, where it was asked for.
    position: Option<Position>,
}

impl Look {
    /// Of the answer to [`LOOK`], and of the position where it was asked for beside it.
    fn read(row: &PgRow, with_position: bool) -> sqlx::Result<Self> {
        let name: Option<&str> = row.try_get("wal")?;
        let timeline = name.map(timeline_of).transpose()?;
        let position: Option<i64> = if with_position { row.try_get("position")? } else { None };
        Ok(Self { timeline, position: position.and_then(counter).map(Position::new) })
    }
}

impl Seen {
    /// Whether the store is there. Before anything was seen, it may not be.
    pub(crate) fn knows_the_store(&self) -> bool {
        self.position > Position::ZERO
    }

    /// Whether a server that looks so is the one, or a later one. It is held against what had been seen `before` it was asked: since
    /// then it may have committed more than it has told.
    fn admits(&self, look: Look, before: Self) -> Result<u32, NoServer> {
        let timeline = look.timeline.ok_or(NoServer::Standby)?;
        // Two standbys that were both promoted have one number: what was committed is missing on one of them.
        let lacks = look.position.is_some_and(|position| position < before.position);
        if timeline < self.timeline || (timeline == before.timeline && lacks) {
            return Err(NoServer::Replaced);
        }
        Ok(timeline)
    }
}

impl Servers {
    pub(crate) fn new(hosts: Vec<PgConnectOptions>, are_poolers: bool) -> Arc<Self> {
        Arc::new(Self { hosts, are_poolers, seen: Mutex::default() })
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Nothing panics while it holds the lock.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether no later timeline than this one was seen.
    pub(crate) fn is_current(&self, timeline: u32) -> bool {
        self.seen().timeline == timeline
    }

    /// Notes how far the store has come, as a server of this timeline has said.
    pub(crate) fn saw(&self, timeline: u32, position: Position) {
        let mut seen = self.seen();
        if seen.timeline == timeline {
            seen.position = seen.position.max(position);
        }
    }

    /// The host that took writes last, and its timeline.
    pub(crate) fn last(&self) -> (PgConnectOptions, u32) {
        let seen = *self.seen();
        (self.hosts[seen.host].clone(), seen.timeline)
    }

    /// What was seen by now, to be held against what a transaction finds that begins next.
    pub(crate) fn before(&self) -> Seen {
        *self.seen()
    }

    /// The timeline of the server that a transaction is on, as it was found at its beginning.
    ///
    /// # Errors
    /// Where the server is a standby, or was replaced.
    pub(crate) fn admit(&self, row: &PgRow, before: Seen) -> Result<u32, NoServer> {
        self.note(Look::read(row, before.knows_the_store())?, before)
    }

    /// Connects to the server that took writes last, if it is still the one; else asks all.
    pub(crate) async fn connect_again(&self, limit: Duration) -> Result<Connected, NoServer> {
        let until = Instant::now() + limit;
        let seen = *self.seen();
        if seen.timeline > 0
            && self.hosts.len() > 1
            && let Ok(Ok((connection, look))) =
                timeout(limit.min(ROUND), self.reach(seen.host, seen.position, &AtomicBool::default())).await
            && look.timeline == Some(seen.timeline)
            && let Ok(timeline) = self.note(look, seen)
        {
            return Ok(Connected { connection, timeline });
        }
        self.connect(until.saturating_duration_since(Instant::now())).await
    }

    /// Connects to the server that takes writes: asks all hosts at once, and of those that take writes chooses the one that was
    /// promoted last.
    ///
    /// # Errors
    /// What says most of why there is none.
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
                Err(other) if other.weight() >= why.weight() => why = other,
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
        let timeline = self.note(look, Seen { host, ..before })?;
        Ok(Connected { connection, timeline })
    }

    /// Connects to the only pooler. Which server that leads to is looked at by each transaction.
    async fn connect_to_pooler(&self, limit: Duration) -> Result<Connected, NoServer> {
        let connecting = timeout(limit, PgConnection::connect_with(&self.hosts[0])).await;
        let connection = connecting.map_err(|_| NoServer::Silent)??;
        Ok(Connected { connection, timeline: self.seen().timeline })
    }

    /// Takes it, unless another one was found to be promoted over it meanwhile.
    fn note(&self, look: Look, before: Seen) -> Result<u32, NoServer> {
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

    /// Connects to one host, whatever it is; notes when there is a connection that waits for its first answer.
    async fn reach(
        &self,
        host: usize,
        seen: Position,
        waits: &AtomicBool,
    ) -> Result<(PgConnection, Look), NoServer> {
        let mut connection = PgConnection::connect_with(&self.hosts[host]).await?;
        waits.store(true, Ordering::Relaxed);
        // Not prepared: a pooler may have another connection for the second step.
        let row = sqlx::raw_sql(LOOK).fetch_one(&mut connection).await?;
        let mut look = Look::read(&row, false)?;
        // Before anything was seen, the store may not be there.
        if look.timeline.is_some() && seen > Position::ZERO {
            let row = sqlx::raw_sql(POSITION).fetch_optional(&mut connection).await?;
            let position = row.map(|row| row.try_get::<i64, _>("position")).transpose()?;
            look.position = position.and_then(counter).map(Position::new);
        }
        Ok((connection, look))
    }
}

/// The name of the file that is written to says the timeline. A standby writes to none.
pub(crate) const LOOK: &str =
    "SELECT CASE WHEN NOT pg_is_in_recovery() THEN pg_walfile_name(pg_current_wal_lsn()) END AS wal";

const POSITION: &str = "SELECT position FROM throughline.store WHERE id = 1";

fn timeline_of(name: &str) -> Result<u32, sqlx::Error> {
    let number = name.get(..8).and_then(|digits| u32::from_str_radix(digits, 16).ok());
    number.ok_or_else(|| sqlx::Error::Protocol("the server does not tell its timeline".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(timeline: u32, position: u64) -> Look {
        Look { timeline: Some(timeline), position: Some(Position::new(position)) }
    }

    #[test]
    fn a_server_of_an_earlier_timeline_is_refused_and_so_is_one_that_lacks_what_was_committed() {
        let seen = Seen { timeline: 0x1F, position: Position::new(10), host: 0 };
        assert_eq!(seen.admits(look(0x1F, 10), seen).unwrap(), 0x1F);
        assert_eq!(seen.admits(look(0x1F, 11), seen).unwrap(), 0x1F);
        assert!(matches!(seen.admits(look(0x1F, 9), seen), Err(NoServer::Replaced)));
        assert!(matches!(seen.admits(look(0x1E, 99), seen), Err(NoServer::Replaced)));
        // What an asynchronous standby had not received is lost, and the store goes on.
        assert_eq!(seen.admits(look(0x20, 9), seen).unwrap(), 0x20);
        let standby = Look { timeline: None, position: None };
        assert!(matches!(seen.admits(standby, seen), Err(NoServer::Standby)));
        let first = Seen::default();
        assert_eq!(first.admits(Look { timeline: Some(1), position: None }, first).unwrap(), 1);
    }

    #[test]
    fn what_was_committed_since_a_server_was_asked_is_not_missed_there() {
        let before = Seen { timeline: 2, position: Position::new(10), host: 0 };
        let now = Seen { position: Position::new(15), ..before };
        assert_eq!(now.admits(look(2, 12), before).unwrap(), 2);
        // Somebody else has found a later one meanwhile.
        let later = Seen { timeline: 3, position: Position::new(5), host: 1 };
        assert!(matches!(later.admits(look(2, 12), before), Err(NoServer::Replaced)));
        assert_eq!(later.admits(look(3, 6), before).unwrap(), 3);
    }

    #[test]
    fn the_timeline_stands_in_the_name_of_the_log() {
        assert_eq!(timeline_of("0000001F0000000000000001").unwrap(), 31);
        assert!(timeline_of("0000").is_err());
        assert!(timeline_of("zzzzzzzz0000000000000001").is_err());
    }

    #[test]
    fn what_was_seen_of_one_timeline_is_not_asked_of_the_next() {
        let servers = Servers::new(vec![PgConnectOptions::new()], false);
        *servers.seen() = Seen { timeline: 2, position: Position::new(3), host: 0 };
        servers.saw(1, Position::new(50));
        servers.saw(2, Position::new(4));
        servers.saw(2, Position::new(1));
        assert_eq!(servers.seen().position, Position::new(4));
        assert!(servers.is_current(2) && !servers.is_current(1));
    }
}
