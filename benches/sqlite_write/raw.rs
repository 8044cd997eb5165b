//! The drivers by themselves: the same row, the same durability, a commit for each insert.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use throughline::{Content, MessageId};
use tokio::task::JoinSet;

use crate::{Failure, TEXT};

/// A message with an id of its own, its place in its thread, and the two indexes that this needs.
const SCHEMA: &str = "CREATE TABLE messages (
    message_pk INTEGER PRIMARY KEY,
    thread_pk INTEGER NOT NULL,
    message_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    role TEXT NOT NULL,
    state TEXT NOT NULL,
    revision INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    metadata TEXT NOT NULL,
    content TEXT NOT NULL,
    UNIQUE (thread_pk, message_id),
    UNIQUE (thread_pk, seq)
) STRICT";

const INSERT: &str = "INSERT INTO messages
    (thread_pk, message_id, seq, role, state, revision, created_at, updated_at, metadata, content)
    VALUES (?1, ?2, ?3, 'user', 'final', 1, 0, 0, '{}', ?4)";

/// One prepared insert after the other on one connection, each its own durable transaction.
pub(crate) struct Autocommit {
    connection: rusqlite::Connection,
    written: i64,
}

impl Autocommit {
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let connection = rusqlite::Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.execute_batch(SCHEMA)?;
        Ok(Self { connection, written: 0 })
    }

    /// Writes a second.
    pub(crate) fn run(&mut self, span: Duration) -> Result<f64, Failure> {
        let mut insert = self.connection.prepare_cached(INSERT)?;
        let (begun, before) = (Instant::now(), self.written);
        while begun.elapsed() < span {
            let content = Content::text(TEXT);
            insert.execute(rusqlite::params![
                1,
                MessageId::mint().as_str(),
                self.written,
                content.as_json()
            ])?;
            self.written += 1;
        }
        Ok((self.written - before) as f64 / begun.elapsed().as_secs_f64())
    }
}

/// Inserts through a pool of so many connections, each its own durable transaction.
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
        Ok(Self { pool, next: Arc::default() })
    }

    /// Writes a second, from this many tasks.
    pub(crate) async fn run(&self, tasks: usize, span: Duration) -> Result<f64, Failure> {
        let begun = Instant::now();
        let mut writers = JoinSet::new();
        for task in 0..tasks {
            let (pool, next) = (self.pool.clone(), Arc::clone(&self.next));
            writers.spawn(async move {
                let mut written = 0_u64;
                while begun.elapsed() < span {
                    let content = Content::text(TEXT);
                    sqlx::query(INSERT)
                        .bind(i64::try_from(task)?)
                        .bind(MessageId::mint().as_str())
                        .bind(next.fetch_add(1, Ordering::Relaxed))
                        .bind(content.as_json())
                        .execute(&pool)
                        .await?;
                    written += 1;
                }
                Ok::<_, Failure>(written)
            });
        }
        let mut written = 0;
        while let Some(writer) = writers.join_next().await {
            written += writer??;
        }
        Ok(written as f64 / begun.elapsed().as_secs_f64())
    }
}
