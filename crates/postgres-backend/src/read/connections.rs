//! The connections that read: as many as are at work, and none to a server that was replaced.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use sqlx::{Connection as _, PgConnection};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{timeout, timeout_at},
};

use crate::{error::Failure, options::Settings, servers::Connected};

/// How long a connection that nobody needs is kept.
const IDLE: Duration = Duration::from_secs(600);

/// The connections of the readers of a store.
#[derive(Debug, Clone)]
pub(super) struct Connections {
    settings: Settings,
    permits: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Idle>>>,
}

#[derive(Debug)]
struct Idle {
    connected: Connected,
    since: Instant,
}

/// A connection while it is used. Dropped, it ends; whoever has left it as it was gives it [back](Self::give_back).
#[derive(Debug)]
pub(super) struct Borrowed {
    connected: Connected,
    connections: Connections,
    _permit: OwnedSemaphorePermit,
}

impl Connections {
    pub(super) fn new(settings: &Settings) -> Self {
        let readers = usize::try_from(settings.options.readers).unwrap_or(1);
        let permits = Arc::new(Semaphore::new(readers));
        Self { settings: settings.clone(), permits, idle: Arc::default() }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        // Nothing panics while it holds the lock.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One that is free, or a new one.
    ///
    /// # Errors
    /// Where none became free before `give_up`, and where there is no server.
    pub(super) async fn borrow(&self, give_up: Instant) -> Result<Borrowed, Failure> {
        let permit = match timeout_at(give_up.into(), Arc::clone(&self.permits).acquire_owned()).await {
            Ok(permit) => permit.map_err(|_| sqlx::Error::PoolClosed)?,
            Err(_) => return Err(sqlx::Error::PoolTimedOut.into()),
        };
        let found = self.take();
        let connected = match found {
            Some(connected) => connected,
            None => {
                let limit =
                    self.settings.options.answer_limit.min(give_up.saturating_duration_since(Instant::now()));
                self.settings.servers.connect_again(limit).await?
            }
        };
        Ok(Borrowed { connected, connections: self.clone(), _permit: permit })
    }

    /// The one that was used last, so that those that are not needed grow old.
    fn take(&self) -> Option<Connected> {
        let mut idle = self.idle();
        idle.retain(|idle| {
            idle.since.elapsed() < IDLE && self.settings.servers.is_current(idle.connected.timeline)
        });
        idle.pop().map(|idle| idle.connected)
    }

    /// Waits until every one is given back, and ends them.
    pub(super) async fn close(&self) {
        let readers = self.settings.options.readers;
        // Nobody holds one for longer than its read may last.
        drop(self.permits.acquire_many(readers).await);
        self.permits.close();
        let idle = std::mem::take(&mut *self.idle());
        for idle in idle {
            // It says good-bye to a server that may not be there any more.
            drop(timeout(Duration::from_secs(1), idle.connected.connection.close()).await);
        }
    }
}

impl Borrowed {
    pub(super) const fn connection(&mut self) -> &mut PgConnection {
        &mut self.connected.connection
    }

    /// Notes which server a transaction is on, where a pooler has chosen it.
    pub(super) fn leads_to(&mut self, timeline: Option<u32>) {
        self.connected.timeline = timeline.unwrap_or(self.connected.timeline);
    }

    /// For the next one.
    pub(super) fn give_back(self) {
        let Self { connected, connections, _permit: permit } = self;
        connections.idle().push(Idle { connected, since: Instant::now() });
        // After: who is let in now finds it.
        drop(permit);
    }
}
