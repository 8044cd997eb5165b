use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use sqlx::postgres::{PgPool, PgPoolOptions};
use throughline::{Content, MessageId};
use throughline_postgres_cluster::Cluster;

use crate::{Failure, concurrent_calls, text::TEXT};

/// Messages with an id and a sequence number in their thread, and a unique index for each.
pub(crate) const SCHEMA: &str = "CREATE TABLE messages (
    message_pk bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    thread_pk bigint NOT NULL,
    message_id text NOT NULL,
    seq bigint NOT NULL,
    role text NOT NULL,
    state text NOT NULL,
    revision bigint NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    metadata text NOT NULL,
    content text NOT NULL,
    UNIQUE (thread_pk, message_id),
    UNIQUE (thread_pk, seq)
)";

pub(crate) const INSERT: &str = "INSERT INTO messages
    (thread_pk, message_id, seq, role, state, revision, created_at, updated_at, metadata, content)
    VALUES ($1, $2, $3, 'user', 'final', 1, 0, 0, '{}', $4)";

/// Inserts through a sqlx pool; each insert is a durable transaction.
pub(crate) struct Pool {
    pool: PgPool,
    next: Arc<AtomicI64>,
}

impl Pool {
    pub(crate) async fn open(cluster: &Cluster, connections: u32) -> Result<Self, Failure> {
        let name = format!("pool{connections}");
        cluster.run("postgres", &format!("CREATE DATABASE {name}"))?;
        let pool = PgPoolOptions::new().max_connections(connections).connect(&cluster.url(&name)).await?;
        sqlx::query(SCHEMA).execute(&pool).await?;
        let pool = Self { pool, next: Arc::default() };
        // Open every connection and prepare its statement.
        pool.run(4 * connections as usize, Duration::from_millis(300)).await?;
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
