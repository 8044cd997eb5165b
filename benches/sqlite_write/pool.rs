use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use throughline::{Content, MessageId};

use crate::{
    Failure, concurrent_calls,
    row::{INSERT, SCHEMA},
    text::TEXT,
};

/// Inserts through a sqlx pool; each insert is a durable transaction.
pub(crate) struct Pool {
    pool: SqlitePool,
    next: Arc<AtomicI64>,
}

impl Pool {
    pub(crate) async fn open(path: &Path, connections: u32) -> Result<Self, Failure> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(30));
        let pool = SqlitePoolOptions::new().max_connections(connections).connect_with(options).await?;
        sqlx::query(SCHEMA).execute(&pool).await?;
        let pool = Self { pool, next: Arc::default() };
        pool.run(connections as usize, Duration::from_millis(50)).await?;
        Ok(pool)
    }

    /// Returns writes per second for `tasks` tasks, each with its own thread.
    pub(crate) async fn run(&self, tasks: usize, span: Duration) -> Result<f64, Failure> {
        let (pool, next) = (self.pool.clone(), Arc::clone(&self.next));
        let insert = move |task| {
            let (pool, next) = (pool.clone(), Arc::clone(&next));
            async move {
                let (id, content) = (MessageId::mint(), Content::text(TEXT));
                sqlx::query(INSERT)
                    .bind(i64::try_from(task)?)
                    .bind(id.as_str())
                    .bind(next.fetch_add(1, Ordering::Relaxed))
                    .bind(content.as_json())
                    .execute(&pool)
                    .await?;
                Ok(())
            }
        };
        concurrent_calls::per_second(tasks, span, insert).await
    }
}
