use std::time::Duration;

use sqlx::postgres::{PgPool, PgPoolOptions};
use throughline::{Content, MessageId, Timestamp};
use throughline_postgres_cluster::Cluster;

use crate::{
    Failure, concurrent_calls,
    pool::{INSERT, SCHEMA},
    text::TEXT,
};

/// The other facts of a write: a thread summary, a change entry and the position of the store. The list of threads has
/// no index here, although the store has one.
const FACTS: &str = "
    CREATE TABLE threads (
        thread_pk bigint PRIMARY KEY,
        thread text NOT NULL UNIQUE,
        last_seq bigint NOT NULL,
        messages bigint NOT NULL,
        bytes bigint NOT NULL,
        active_at bigint NOT NULL,
        preview text NOT NULL
    );
    CREATE TABLE changes (
        position bigint PRIMARY KEY,
        thread_pk bigint NOT NULL,
        kind integer NOT NULL,
        at bigint NOT NULL,
        seq bigint NOT NULL,
        message_id text NOT NULL
    );
    CREATE TABLE store (id integer PRIMARY KEY CHECK (id = 1), position bigint NOT NULL);
    INSERT INTO store VALUES (1, 0);
    INSERT INTO threads SELECT n, 'thread-' || n, 0, 0, 0, 0, '' FROM generate_series(0, 4095) AS n;";

const SUMMARIZE: &str =
    "UPDATE threads SET last_seq = last_seq + 1, messages = messages + 1, bytes = bytes + $2,
    active_at = $3, preview = $4 WHERE thread_pk = $1 RETURNING last_seq";
/// Last, because it holds the row that every write needs.
const ADVANCE: &str = "UPDATE store SET position = position + 1 WHERE id = 1 RETURNING position";
const RECORD: &str = "INSERT INTO changes (position, thread_pk, kind, at, seq, message_id)
    VALUES ($1, $2, 1, $3, $4, $5)";

/// The same four statements as common table expressions of one statement, which commits by itself.
const AT_ONCE: &str = "WITH summary AS (UPDATE threads SET last_seq = last_seq + 1, messages = messages + 1, bytes = bytes + $2,
        active_at = $3, preview = $4 WHERE thread_pk = $1 RETURNING last_seq),
    message AS (INSERT INTO messages
        (thread_pk, message_id, seq, role, state, revision, created_at, updated_at, metadata, content)
        SELECT $1, $5, last_seq, 'user', 'final', 1, 0, 0, '{}', $6 FROM summary RETURNING seq),
    store AS (UPDATE store SET position = position + 1 FROM message WHERE id = 1 RETURNING position, seq)
    INSERT INTO changes (position, thread_pk, kind, at, seq, message_id) SELECT position, $1, 1, $3, seq, $5 FROM store";

/// How the facts of a write are sent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sent {
    /// A transaction of four statements: six round trips.
    Transaction,
    /// One statement and round trip.
    AtOnce,
}

/// Keeps the facts of each write by hand through a sqlx pool: the message, the summary of its thread, a change entry and the
/// position of the store, in one durable transaction.
pub(crate) struct Facts {
    pool: PgPool,
    sent: Sent,
}

impl Facts {
    pub(crate) async fn open(cluster: &Cluster, connections: u32, sent: Sent) -> Result<Self, Failure> {
        let name = format!("facts_{sent:?}_{connections}").to_lowercase();
        cluster.run("postgres", &format!("CREATE DATABASE {name}"))?;
        let pool = PgPoolOptions::new().max_connections(connections).connect(&cluster.url(&name)).await?;
        sqlx::query(SCHEMA).execute(&pool).await?;
        sqlx::raw_sql(FACTS).execute(&pool).await?;
        let facts = Self { pool, sent };
        // Open every connection and prepare its statements.
        facts.run(4 * connections as usize, Duration::from_millis(300)).await?;
        Ok(facts)
    }

    /// Returns writes per second for `tasks` tasks, each with its own thread.
    pub(crate) async fn run(&self, tasks: usize, span: Duration) -> Result<f64, Failure> {
        let (pool, sent) = (self.pool.clone(), self.sent);
        let write = move |task| {
            let pool = pool.clone();
            async move { write(&pool, sent, i64::try_from(task)?).await }
        };
        concurrent_calls::per_second(tasks, span, write).await
    }
}

async fn write(pool: &PgPool, sent: Sent, thread: i64) -> Result<(), Failure> {
    let at = Timestamp::now().as_micros();
    let (id, content) = (MessageId::mint(), Content::text(TEXT));
    let bytes = i64::try_from(content.as_json().len())?;
    let preview: &str = TEXT.get(..80).unwrap_or(TEXT);
    if matches!(sent, Sent::AtOnce) {
        let at_once = sqlx::query(AT_ONCE).bind(thread).bind(bytes).bind(at).bind(preview);
        at_once.bind(id.as_str()).bind(content.as_json()).execute(pool).await?;
        return Ok(());
    }
    let mut transaction = pool.begin().await?;
    let seq: i64 = sqlx::query_scalar(SUMMARIZE)
        .bind(thread)
        .bind(bytes)
        .bind(at)
        .bind(preview)
        .fetch_one(&mut *transaction)
        .await?;
    sqlx::query(INSERT)
        .bind(thread)
        .bind(id.as_str())
        .bind(seq)
        .bind(content.as_json())
        .execute(&mut *transaction)
        .await?;
    let position: i64 = sqlx::query_scalar(ADVANCE).fetch_one(&mut *transaction).await?;
    sqlx::query(RECORD)
        .bind(position)
        .bind(thread)
        .bind(at)
        .bind(seq)
        .bind(id.as_str())
        .execute(&mut *transaction)
        .await?;
    Ok(transaction.commit().await?)
}
