//! The connections of the readers.
//!
//! A pool of sqlx takes a connection back in a task on some runtime. A runtime of one thread that nobody waits on never
//! runs it, and keeps the connection: as many such runtimes as there are readers, and nobody reads any more. Here it is
//! back when it is dropped.

use std::{
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use sqlx::{
    ConnectOptions as _, Connection as _,
    sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow},
};
use tokio::{
    sync::{Semaphore, SemaphorePermit, TryAcquireError},
    time::timeout_at,
};

use throughline_core::{TenantId, backend::Turns};

use super::Statement;
use crate::error::EngineError;

/// So many connections at most, opened as they are needed.
#[derive(Debug)]
pub(super) struct Pool {
    options: SqliteConnectOptions,
    size: u32,
    /// One for each connection that may be in use. Closed with the pool.
    places: Semaphore,
    turns: Turns,
    free: Mutex<Vec<SqliteConnection>>,
}

/// A connection in use. Dropped, it is free again.
pub(super) struct Reader<'a> {
    pool: &'a Pool,
    connection: Option<SqliteConnection>,
    _place: SemaphorePermit<'a>,
}

impl Pool {
    /// Opens the first connection.
    pub(super) async fn open(options: SqliteConnectOptions, size: u32) -> sqlx::Result<Self> {
        let first = options.connect().await?;
        let places = Semaphore::new(size as usize);
        Ok(Self { options, size, places, turns: Turns::new(), free: Mutex::new(vec![first]) })
    }

    fn free(&self) -> MutexGuard<'_, Vec<SqliteConnection>> {
        // Nothing panics while it holds the lock.
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection, waited for until `give_up`; tenants take turns.
    pub(super) async fn reader(
        &self,
        tenant: &TenantId,
        give_up: Instant,
    ) -> Result<Reader<'_>, EngineError> {
        let opening = async {
            let place = match self.places.try_acquire() {
                Err(TryAcquireError::NoPermits) => {
                    let _turn = self.turns.take(tenant).await;
                    self.places.acquire().await.map_err(|_| EngineError::ReadersClosed)?
                }
                place => place.map_err(|_| EngineError::ReadersClosed)?,
            };
            let mut reader = Reader { pool: self, connection: self.free().pop(), _place: place };
            if reader.connection.is_none() {
                reader.connection = Some(self.options.connect().await?);
            }
            Ok(reader)
        };
        timeout_at(give_up.into(), opening).await.unwrap_or(Err(EngineError::NoReader))
    }

    /// Waits until no connection is in use, and closes them all. Whoever still waits for one is sent away.
    pub(super) async fn close(&self) {
        // They wait in a line: who comes after this gets no place before the end of it.
        let Ok(_all) = self.places.acquire_many(self.size).await else { return };
        self.places.close();
        let free = mem::take(&mut *self.free());
        for connection in free {
            // It has nothing to lose: a reader writes nothing.
            drop(connection.close().await);
        }
    }
}

impl Reader<'_> {
    /// Every row that a statement answers.
    pub(super) async fn rows(mut self, statement: Statement) -> Result<Vec<SqliteRow>, EngineError> {
        let Some(connection) = &mut self.connection else { return Err(EngineError::ReadersClosed) };
        let rows = statement.fetch_all(connection).await;
        if !matches!(rows, Ok(_) | Err(sqlx::Error::Database(_))) {
            // The thread behind the connection is gone; the next reader opens another.
            self.connection = None;
        }
        Ok(rows?)
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        // What a caller left in the middle of a statement is ended by the thread of the connection.
        self.pool.free().extend(self.connection.take());
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::Arc,
        time::{Duration, Instant},
    };

    use super::*;

    #[tokio::test]
    async fn a_tenant_with_many_reads_holds_no_other_up() {
        let pool = Arc::new(Pool::open(SqliteConnectOptions::new(), 1).await.unwrap());
        let far = Instant::now() + Duration::from_secs(60);
        let order = Arc::new(Mutex::new(Vec::new()));
        let first = pool.reader(&"busy".parse().unwrap(), far).await.unwrap();
        let mut waiting = Vec::new();
        for name in ["busy", "busy", "busy", "other"] {
            let (pool, order) = (Arc::clone(&pool), Arc::clone(&order));
            waiting.push(tokio::spawn(async move {
                let reader = pool.reader(&name.parse().unwrap(), far).await.unwrap();
                order.lock().unwrap().push(name);
                drop(reader);
            }));
            tokio::task::yield_now().await;
        }
        drop(first);
        for waiting in waiting {
            waiting.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), ["busy", "other", "busy", "busy"]);
    }
}
