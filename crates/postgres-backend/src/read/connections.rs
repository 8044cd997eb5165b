//! The pool of reader connections. It keeps no connection to a replaced primary.

use std::{
    collections::HashMap,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures_util::future::select;
use sqlx::{Connection as _, PgConnection};
use throughline_core::{TenantId, keyed_queue::KeyedQueue};
use tokio::{
    sync::{AcquireError, Notify, OwnedSemaphorePermit, Semaphore},
    time::{timeout, timeout_at},
};

use crate::{error::Failure, options::Settings, servers::Connected};

/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(600);

/// The reader connections of a store.
#[derive(Debug, Clone)]
pub(super) struct Connections {
    settings: Settings,
    permits: Arc<Semaphore>,
    /// One more permit, for a tenant that has none: it never waits for the reads of another tenant alone.
    additional: Arc<Semaphore>,
    waiting: KeyedQueue<TenantId>,
    /// The tenants that have a connection.
    busy: Arc<Mutex<HashMap<TenantId, Held>>>,
    idle: Arc<Mutex<Vec<Idle>>>,
}

/// The connections of one tenant.
#[derive(Debug, Default)]
struct Held {
    count: u32,
    /// Notified when the tenant has no connection any more.
    none_left: Arc<Notify>,
}

#[derive(Debug)]
struct Idle {
    connected: Connected,
    since: Instant,
}

/// A connection in use. Dropping it closes it; [`give_back`](Self::give_back) returns an intact one to the pool.
#[derive(Debug)]
pub(super) struct Borrowed {
    connected: Connected,
    connections: Connections,
    permit: Permit,
}

/// The permit of a tenant for one connection.
#[derive(Debug)]
struct Permit {
    // Dropped before the permit, so that the count of a tenant never exceeds its permits.
    _busy: Busy,
    _permit: OwnedSemaphorePermit,
}

/// Counts a connection of a tenant until it is dropped.
#[derive(Debug)]
struct Busy {
    connections: Connections,
    tenant: TenantId,
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut busy = self.connections.busy();
        if let Some(held) = busy.get_mut(&self.tenant) {
            held.count -= 1;
            if held.count == 0 {
                held.none_left.notify_waiters();
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
            waiting: KeyedQueue::new(),
            busy: Arc::default(),
            idle: Arc::default(),
        }
    }

    fn busy(&self) -> MutexGuard<'_, HashMap<TenantId, Held>> {
        // No code panics while it holds the lock.
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a permit for this tenant. Waiting tenants are served in rotation. A tenant without a connection,
    /// also one that loses its last connection while it waits, may take the additional permit.
    async fn permit(&self, tenant: &TenantId) -> Result<Permit, AcquireError> {
        {
            let mut busy = self.busy();
            if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
                return Ok(self.count(&mut busy, tenant, permit));
            }
        }
        let _turn = self.waiting.acquire([tenant.clone()]).await;
        let shared = async {
            let permit = Arc::clone(&self.permits).acquire_owned().await?;
            Ok(self.count(&mut self.busy(), tenant, permit))
        };
        select(pin!(shared), pin!(self.additional(tenant))).await.factor_first().0
    }

    /// Returns the additional permit as soon as the tenant has no connection.
    async fn additional(&self, tenant: &TenantId) -> Result<Permit, AcquireError> {
        loop {
            let none_left = self.busy().get(tenant).map(|held| Arc::clone(&held.none_left).notified_owned());
            if let Some(none_left) = none_left {
                none_left.await;
            }
            let permit = Arc::clone(&self.additional).acquire_owned().await?;
            let mut busy = self.busy();
            // Another read of the tenant may have received a connection in the meantime.
            if !busy.contains_key(tenant) {
                return Ok(self.count(&mut busy, tenant, permit));
            }
        }
    }

    fn count(
        &self,
        busy: &mut HashMap<TenantId, Held>,
        tenant: &TenantId,
        permit: OwnedSemaphorePermit,
    ) -> Permit {
        busy.entry(tenant.clone()).or_default().count += 1;
        Permit { _busy: Busy { connections: self.clone(), tenant: tenant.clone() }, _permit: permit }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        // No code panics while it holds the lock.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns an idle connection or a new one.
    ///
    /// # Errors
    /// Returns an error if no connection became free before `wait_until`, or there is no server.
    pub(super) async fn borrow(&self, tenant: &TenantId, wait_until: Instant) -> Result<Borrowed, Failure> {
        let permit = match timeout_at(wait_until.into(), self.permit(tenant)).await {
            Ok(permit) => permit.map_err(|_| sqlx::Error::PoolClosed)?,
            Err(_) => return Err(sqlx::Error::PoolTimedOut.into()),
        };
        let found = self.take();
        let connected = match found {
            Some(connected) => connected,
            None => {
                let limit = self
                    .settings
                    .options
                    .answer_limit
                    .min(wait_until.saturating_duration_since(Instant::now()));
                self.settings.servers.connect_again(limit).await?
            }
        };
        Ok(Borrowed { connected, connections: self.clone(), permit })
    }

    /// Takes the connection that was used last, so that unused ones expire.
    fn take(&self) -> Option<Connected> {
        let mut idle = self.idle();
        idle.retain(|idle| {
            idle.since.elapsed() < IDLE && self.settings.servers.is_current(idle.connected.timeline)
        });
        idle.pop().map(|idle| idle.connected)
    }

    /// Waits until every connection is returned, and closes them.
    pub(super) async fn close(&self) {
        let readers = self.settings.options.readers;
        // A read holds a connection only until its time limit.
        drop(self.permits.acquire_many(readers).await);
        self.permits.close();
        drop(self.additional.acquire().await);
        self.additional.close();
        let idle = std::mem::take(&mut *self.idle());
        for idle in idle {
            // Closing sends a message to a server that may be gone.
            drop(timeout(Duration::from_secs(1), idle.connected.connection.close()).await);
        }
    }
}

impl Borrowed {
    pub(super) const fn connection(&mut self) -> &mut PgConnection {
        &mut self.connected.connection
    }

    /// Records which server a transaction runs on, if a pooler chose it.
    pub(super) fn set_timeline(&mut self, timeline: Option<u32>) {
        self.connected.timeline = timeline.unwrap_or(self.connected.timeline);
    }

    /// Returns the connection to the pool.
    pub(super) fn give_back(self) {
        let Self { connected, connections, permit } = self;
        connections.idle().push(Idle { connected, since: Instant::now() });
        // Dropped last: the next reader finds the idle connection.
        drop(permit);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::future::poll_immediate;

    use super::*;
    use crate::{PostgresOptions, servers::Servers};

    fn connections(readers: u32) -> Connections {
        let servers = Servers::new(Vec::new(), false);
        Connections::new(&Settings {
            servers,
            listening: None,
            names: std::sync::Arc::default(),
            options: PostgresOptions::new().readers(readers),
        })
    }

    #[tokio::test]
    async fn a_tenant_whose_last_connection_ends_while_it_waits_gets_the_additional_one() {
        let connections = connections(2);
        let (a, b): (TenantId, TenantId) = ("a".parse().unwrap(), "b".parse().unwrap());
        let first_of_a = connections.permit(&a).await.unwrap();
        let first_of_b = connections.permit(&b).await.unwrap();
        let mut second_of_a = pin!(connections.permit(&a));
        let mut second_of_b = pin!(connections.permit(&b));
        assert!(poll_immediate(second_of_a.as_mut()).await.is_none());
        assert!(poll_immediate(second_of_b.as_mut()).await.is_none());
        // The shared permit goes to the read that waited first, which belongs to the other tenant.
        drop(first_of_b);
        let second_of_b = timeout(Duration::from_secs(60), second_of_b).await.unwrap().unwrap();
        let second_of_a = second_of_a.await.unwrap();
        assert_eq!(connections.busy()[&a].count, 2);
        assert_eq!(connections.busy()[&b].count, 1);
        // A tenant with a connection waits only for the shared permits.
        let mut third_of_a = pin!(connections.permit(&a));
        assert!(poll_immediate(third_of_a.as_mut()).await.is_none());
        drop(second_of_b);
        assert!(poll_immediate(third_of_a.as_mut()).await.is_none());
        drop((first_of_a, second_of_a));
        drop(third_of_a.await.unwrap());
        assert!(connections.busy().is_empty());
    }
}
