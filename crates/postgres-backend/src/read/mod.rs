//! Reads: each from one moment of the store, on a connection of its own while it lasts.
//!
//! A read is a task. Whoever does not wait for it any more leaves no connection behind in the middle of a transaction.

pub(crate) mod audit;
pub(crate) mod changes;
mod consumer;
mod message;
mod names;
mod open;
mod page;
mod prune;
mod session;
mod thread;

use std::{sync::Arc, time::Instant};

use sqlx::{PgConnection, PgPool, Row as _, pool::PoolConnection, postgres::PgPoolOptions};
use throughline_core::{
    Effect, ErrorKind, PersistError, Position, ReadArgs, ReadResult, Result, TenantId, ThreadId, Timestamp,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{timeout, timeout_at},
};

use crate::{
    engine::Engine,
    error::{Failure, Phase, damaged},
    options::Settings,
    replica,
    rows::{ThreadRow, counter, thread_columns},
};

/// How often a read is tried whose connection was lost, beside once for each connection that lay idle: a server that was started anew
/// has cut all of them.
const ATTEMPTS: u32 = 4;

/// The readers of a store.
#[derive(Debug)]
pub(crate) struct Readers {
    pool: PgPool,
    /// As many as there are connections: who has one finds a connection free, or none can be made.
    places: Arc<Semaphore>,
    settings: Settings,
    engine: Engine,
}

/// What a read works with.
struct Scope<'a> {
    db: &'a mut PgConnection,
    tenant: &'a TenantId,
    now: Timestamp,
}

/// Why a read is not answered.
pub(crate) enum Trouble {
    Refused(PersistError),
    Engine(sqlx::Error),
}

impl From<PersistError> for Trouble {
    fn from(error: PersistError) -> Self {
        Self::Refused(error)
    }
}

impl From<sqlx::Error> for Trouble {
    fn from(error: sqlx::Error) -> Self {
        Self::Engine(error)
    }
}

pub(crate) type Answer<T> = std::result::Result<T, Trouble>;

impl Readers {
    pub(crate) fn new(settings: &Settings, engine: &Engine) -> Self {
        // The pool has tasks of its own.
        let _inside = engine.handle().enter();
        let pool = PgPoolOptions::new()
            .max_connections(settings.options.readers)
            .acquire_timeout(settings.options.answer_limit)
            // A connection that was cut is noticed when it is used, and the read is made again.
            .test_before_acquire(false)
            .connect_lazy_with(settings.connect.clone());
        let places = Arc::new(Semaphore::new(settings.options.readers as usize));
        Self { pool, places, settings: settings.clone(), engine: engine.clone() }
    }

    /// Answers a read.
    pub(crate) async fn read(
        &self,
        tenant: &TenantId,
        read: ReadArgs,
        give_up: Instant,
        now: Timestamp,
    ) -> Result<ReadResult> {
        let (pool, settings, tenant) = (self.pool.clone(), self.settings.clone(), tenant.clone());
        let places = Arc::clone(&self.places);
        let task = self.engine.handle().spawn(async move {
            let mut attempt = 1;
            let attempts = settings.options.readers.saturating_add(ATTEMPTS);
            loop {
                let place = timeout_at(give_up.into(), Arc::clone(&places).acquire_owned());
                let Ok(Ok(place)) = place.await else {
                    return Err(Failure::from(sqlx::Error::PoolTimedOut).to_persist(Phase::Before));
                };
                match attempt_to((&pool, place), &settings, &tenant, &read, give_up, now).await {
                    Ok(answer) => return answer,
                    Err(failure) if failure.passes && attempt < attempts && Instant::now() < give_up => {
                        attempt += 1;
                    }
                    Err(failure) => return Err(failure.to_persist(Phase::Before)),
                }
            }
        });
        task.await.unwrap_or_else(|_| {
            let error = PersistError::new(ErrorKind::Internal, "the read was lost");
            Err(error.with_effect(Effect::NotApplied))
        })
    }

    /// Waits until every read has ended, and closes the readers.
    pub(crate) async fn close(&self) {
        let pool = self.pool.clone();
        // A pool that is not closed is closed with its threads.
        drop(self.engine.handle().spawn(async move { pool.close().await }).await);
    }
}

/// Reads once. A connection on which anything has failed is not used again.
async fn attempt_to(
    (pool, place): (&PgPool, OwnedSemaphorePermit),
    settings: &Settings,
    tenant: &TenantId,
    read: &ReadArgs,
    give_up: Instant,
    now: Timestamp,
) -> std::result::Result<Result<ReadResult>, Failure> {
    let mut connection = match timeout_at(give_up.into(), pool.acquire()).await {
        // There is a place for it, so there is none to be had: the driver itself tries again to connect for as long as it may.
        Err(_) | Ok(Err(sqlx::Error::PoolTimedOut)) => return Err(Failure::unreachable()),
        Ok(connection) => connection?,
    };
    let answered = timeout(settings.options.answer_limit, answer(&mut connection, tenant, read, now)).await;
    match answered {
        Ok(Ok((answer, in_transaction))) => {
            // Nobody waits for the end of a transaction that has only read.
            if in_transaction {
                tokio::spawn(give_back(connection, place));
            }
            Ok(Ok(answer))
        }
        Ok(Err(Trouble::Refused(error))) => {
            tokio::spawn(give_back(connection, place));
            Ok(Err(error))
        }
        Ok(Err(Trouble::Engine(error))) => {
            drop(connection.detach());
            Err(error.into())
        }
        Err(_) => {
            drop(connection.detach());
            Err(Failure::silence())
        }
    }
}

async fn give_back(mut connection: PoolConnection<sqlx::Postgres>, place: OwnedSemaphorePermit) {
    if sqlx::raw_sql("ROLLBACK").execute(&mut *connection).await.is_err() {
        drop(connection.detach());
    } else {
        drop(connection);
    }
    drop(place);
}

const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// Answers from one moment of the store, and says whether a transaction was begun for it.
async fn answer(
    db: &mut PgConnection,
    tenant: &TenantId,
    read: &ReadArgs,
    now: Timestamp,
) -> Answer<(ReadResult, bool)> {
    // One statement is of one moment by itself.
    if let ReadArgs::Get(get) = read
        && let Some(settled) = message::get_settled(db, tenant, get).await?
    {
        return Ok((ReadResult::Get(settled), false));
    }
    sqlx::raw_sql(BEGIN).execute(&mut *db).await?;
    let mut scope = Scope { db: &mut *db, tenant, now };
    let answer = match read {
        ReadArgs::Get(get) => scope.get(get).await.map(ReadResult::Get),
        ReadArgs::Page(read) => scope.page(read).await.map(ReadResult::Page),
        ReadArgs::OpenReservations(list) => scope.open(list).await.map(ReadResult::OpenReservations),
        ReadArgs::Thread(get) => scope.entry(get).await.map(ReadResult::Thread),
        ReadArgs::Threads(list) => scope.threads(list).await.map(ReadResult::Threads),
        ReadArgs::PlanPrune(plan) => scope.plan_prune(plan).await.map(ReadResult::PlanPrune),
        ReadArgs::Purgeable(list) => scope.purgeable(list).await.map(ReadResult::Purgeable),
        ReadArgs::Changes(read) => scope.changes(read).await.map(ReadResult::Changes),
        ReadArgs::Cursor(read) => scope.cursor(read).await.map(ReadResult::Cursor),
        ReadArgs::Quarantined(list) => scope.quarantined(list).await.map(ReadResult::Quarantined),
        ReadArgs::Aliases(list) => scope.aliases(list).await.map(ReadResult::Aliases),
        ReadArgs::Resolve(read) => scope.resolve(read).await.map(ReadResult::Resolve),
        ReadArgs::Attempts(list) => scope.attempts(list).await.map(ReadResult::Attempts),
        ReadArgs::Audit(read) => scope.audit(read).await.map(ReadResult::Audit),
        ReadArgs::Images(read) => Ok(ReadResult::Images(replica::images(scope.db, read, now).await?)),
        ReadArgs::Standing(_) => Ok(ReadResult::Standing(replica::standing(scope.db).await?)),
        other => Err(PersistError::unsupported(format_args!("the read `{}`", other.as_str())).into()),
    }?;
    Ok((answer, true))
}

impl Scope<'_> {
    /// How far the store has come, and from which change on they are kept.
    async fn progress(&mut self) -> Answer<(Position, Position)> {
        let row = sqlx::query("SELECT position, kept_after FROM throughline.store WHERE id = 1")
            .fetch_optional(&mut *self.db)
            .await?;
        let found = match &row {
            Some(row) => counter(row.try_get("position")?).zip(counter(row.try_get("kept_after")?)),
            None => None,
        };
        let (position, kept_after) = found.ok_or_else(|| damaged("the row of the store".to_owned()))?;
        Ok((Position::new(position), Position::new(kept_after)))
    }

    /// The thread, deleted or not.
    async fn thread(&mut self, thread: &ThreadId) -> Answer<Option<ThreadRow>> {
        let row = sqlx::query(concat!(
            "SELECT ",
            thread_columns!(),
            " FROM throughline.threads t WHERE t.tenant = $1 AND t.thread = $2"
        ))
        .bind(self.tenant.as_str())
        .bind(thread.as_str())
        .fetch_optional(&mut *self.db)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let state = ThreadRow::decode(&row)?;
        Ok(Some(state.ok_or_else(|| damaged(format!("the row of the thread `{thread}`")))?))
    }

    /// The thread, if it is there: neither never begun nor deleted.
    async fn living(&mut self, thread: &ThreadId) -> Answer<Option<ThreadRow>> {
        Ok(self.thread(thread).await?.filter(|state| !state.deleted))
    }
}
