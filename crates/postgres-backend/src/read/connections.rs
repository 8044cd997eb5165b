//! The connections that read: as many as are at work, and none to a server that was replaced.

use std::{
    collections::HashMap,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures_util::future::select;
use sqlx::{Connection as _, PgConnection};
use throughline_core::{TenantId, backend::Turns};
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
    /// One permit more, for a tenant that has none: it never waits for the reads of one other tenant.
    additional: Arc<Semaphore>,
    turns: Arc<Turns>,
    /// How many connections each tenant has.
    busy: Arc<Mutex<HashMap<TenantId, u32>>>,
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
    // Before the permit: a tenant that is let in has no more than it holds.
    _busy: Busy,
    _permit: OwnedSemaphorePermit,
}

/// Counts a connection for a tenant, until it is dropped.
#[derive(Debug)]
struct Busy {
    connections: Connections,
    tenant: TenantId,
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut busy = self.connections.busy();
        if let Some(count) = busy.get_mut(&self.tenant) {
            *count -= 1;
            if *count == 0 {
                busy.remove(&self.tenant);
            }
        }
    }
}

impl Connections {
    pub(super) fn new(settings: &Settings) -> Self {
        let readers = usize::try_from(settings.options.readers).unwrap_or(1);
        let permits = Arc::new(Semaphore::new(readers));
        Self {
            settings: settings.clone(),
            permits,
            additional: Arc::new(Semaphore::new(1)),
            turns: Arc::default(),
            busy: Arc::default(),
            idle: Arc::default(),
        }
    }

    fn busy(&self) -> MutexGuard<'_, HashMap<TenantId, u32>> {
        // Nothing panics while it holds the lock.
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A permit for this tenant. Tenants that wait take turns, and one that has no connection may also have the additional permit.
    async fn permit(&self, tenant: &TenantId) -> Result<OwnedSemaphorePermit, Failure> {
        let closed = |_| Failure::from(sqlx::Error::PoolClosed);
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Ok(permit);
        }
        let _turn = self.turns.take(tenant).await;
        let permit = Arc::clone(&self.permits).acquire_owned();
        if self.busy().contains_key(tenant) {
            return permit.await.map_err(closed);
        }
        let additional = Arc::clone(&self.additional).acquire_owned();
        let (permit, _) = select(pin!(permit), pin!(additional)).await.factor_first();
        permit.map_err(closed)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        // Nothing panics while it holds the lock.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One that is free, or a new one.
    ///
    /// # Errors
    /// Where none became free before `give_up`, and where there is no server.
    pub(super) async fn borrow(&self, tenant: &TenantId, give_up: Instant) -> Result<Borrowed, Failure> {
        let permit = match timeout_at(give_up.into(), self.permit(tenant)).await {
            Ok(permit) => permit?,
            Err(_) => return Err(sqlx::Error::PoolTimedOut.into()),
        };
        *self.busy().entry(tenant.clone()).or_default() += 1;
        let busy = Busy { connections: self.clone(), tenant: tenant.clone() };
        let found = self.take();
        let connected = match found {
            Some(connected) => connected,
            None => {
                let limit =
                    self.settings.options.answer_limit.min(give_up.saturating_duration_since(Instant::now()));
                self.settings.servers.connect_again(limit).await?
            }
        };
        Ok(Borrowed { connected, connections: self.clone(), _busy: busy, _permit: permit })
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
        drop(self.additional.acquire().await);
        self.additional.close();
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
        let Self { connected, connections, _busy: busy, _permit: permit } = self;
        drop(busy);
        connections.idle().push(Idle { connected, since: Instant::now() });
        // After: who is let in now finds it.
        drop(permit);
    }
}
