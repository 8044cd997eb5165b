//! The connections that read: as many as are at work, and none to a server that was replaced.

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

/// How long a connection that nobody needs is kept.
const IDLE: Duration = Duration::from_secs(600);

/// The connections of the readers of a store.
#[derive(Debug, Clone)]
pub(super) struct Connections {
    settings: Settings,
    permits: Arc<Semaphore>,
    /// One permit more, for a tenant that has none: it never waits for the reads of one other tenant.
    additional: Arc<Semaphore>,
    waiting: KeyedQueue<TenantId>,
    /// The tenants that have a connection.
    busy: Arc<Mutex<HashMap<TenantId, Held>>>,
    idle: Arc<Mutex<Vec<Idle>>>,
}

/// The connections that a tenant has.
#[derive(Debug, Default)]
struct Held {
    count: u32,
    /// Notified when the tenant has none any more.
    none_left: Arc<Notify>,
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
    permit: Permit,
}

/// The right of a tenant to one connection, counted.
#[derive(Debug)]
struct Permit {
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
        // Nothing panics while it holds the lock.
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A permit for this tenant, counted. Tenants that wait take turns, and one that has no connection, or has none any more while it
    /// waits, may also have the additional permit.
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

    /// The additional permit, counted, once the tenant has no connection.
    async fn additional(&self, tenant: &TenantId) -> Result<Permit, AcquireError> {
        loop {
            let none_left = self.busy().get(tenant).map(|held| Arc::clone(&held.none_left).notified_owned());
            if let Some(none_left) = none_left {
                none_left.await;
            }
            let permit = Arc::clone(&self.additional).acquire_owned().await?;
            let mut busy = self.busy();
            // Another read of the tenant may have been given a connection meanwhile.
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
        // Nothing panics while it holds the lock.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One that is free, or a new one.
    ///
    /// # Errors
    /// Where none became free before `give_up`, and where there is no server.
    pub(super) async fn borrow(&self, tenant: &TenantId, give_up: Instant) -> Result<Borrowed, Failure> {
        let permit = match timeout_at(give_up.into(), self.permit(tenant)).await {
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
        Ok(Borrowed { connected, connections: self.clone(), permit })
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
        let Self { connected, connections, permit } = self;
        connections.idle().push(Idle { connected, since: Instant::now() });
        // After: who is let in now finds it.
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
        // The shared permit goes to the read that waited first, which is one of the other tenant.
        drop(first_of_b);
        let second_of_b = timeout(Duration::from_secs(60), second_of_b).await.unwrap().unwrap();
        let second_of_a = second_of_a.await.unwrap();
        assert_eq!(connections.busy()[&a].count, 2);
        assert_eq!(connections.busy()[&b].count, 1);
        // A tenant that has a connection waits for the shared ones alone.
        let mut third_of_a = pin!(connections.permit(&a));
        assert!(poll_immediate(third_of_a.as_mut()).await.is_none());
        drop(second_of_b);
        assert!(poll_immediate(third_of_a.as_mut()).await.is_none());
        drop((first_of_a, second_of_a));
        drop(third_of_a.await.unwrap());
        assert!(connections.busy().is_empty());
    }
}
