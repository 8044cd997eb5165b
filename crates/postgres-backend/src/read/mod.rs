//! Reads. Each one uses one snapshot, on a connection of its own.
//!
//! A read runs as a task. If its caller stops waiting, the task still ends the transaction of the connection.

pub(crate) mod audit;
pub(crate) mod changes;
mod connections;
mod consumer;
mod content;
mod find;
pub(crate) mod fitting;
mod message;
mod names;
mod open;
mod page;
#[cfg(test)]
mod plans;
mod prune;
mod search;
mod session;
mod thread;

use std::time::{Duration, Instant};

use sqlx::PgConnection;
use throughline_core::{
    Effect, ErrorKind, IndexedMetadata, PersistError, ReadArgs, ReadResult, Result, TenantId, ThreadId,
    Timestamp,
};
use throughline_engine::rows::ThreadRow;
use tokio::time::{sleep, timeout};

use self::{
    connections::{Borrowed, Connections},
    search::Searching,
};
use crate::{
    engine::Engine,
    error::{Failure, Phase, damaged},
    options::Settings,
    replica,
    row_security::Reach,
    rows::{decode_thread, thread_columns},
    transaction::{Begun, Of, begin},
};

/// How often a read is attempted after its connection was lost. An idle connection does not count: a server that
/// was restarted has closed all of them.
const ATTEMPTS: u32 = 4;

/// The pause before the servers are asked again which of them is the primary.
const PAUSE: Duration = Duration::from_millis(100);

/// The readers of a store.
#[derive(Debug)]
pub(crate) struct Readers {
    connections: Connections,
    settings: Settings,
    engine: Engine,
}

/// The connection and the arguments of one read.
struct Scope<'a> {
    db: &'a mut PgConnection,
    tenant: &'a TenantId,
    now: Timestamp,
}

/// The reason why a read fails.
pub(crate) enum ReadError {
    Refused(PersistError),
    Engine(sqlx::Error),
}

impl From<PersistError> for ReadError {
    fn from(error: PersistError) -> Self {
        Self::Refused(error)
    }
}

impl From<sqlx::Error> for ReadError {
    fn from(error: sqlx::Error) -> Self {
        Self::Engine(error)
    }
}

pub(crate) type Answer<T> = std::result::Result<T, ReadError>;

impl Readers {
    pub(crate) fn new(settings: &Settings, engine: &Engine) -> Self {
        let connections = Connections::new(settings);
        Self { connections, settings: settings.clone(), engine: engine.clone() }
    }

    /// Runs a read.
    pub(crate) async fn read(
        &self,
        tenant: &TenantId,
        read: ReadArgs,
        wait_until: Instant,
        now: Timestamp,
    ) -> Result<ReadResult> {
        let (connections, settings, tenant) =
            (self.connections.clone(), self.settings.clone(), tenant.clone());
        let task = self.engine.handle().spawn(async move {
            let mut attempts = settings.options.readers.saturating_add(ATTEMPTS);
            let mut last = None;
            loop {
                let (is_waited_for, failure) = match connections.borrow(&tenant, wait_until).await {
                    Ok(connection) => {
                        match attempt_to(connection, &settings, &tenant, &read, (now, wait_until)).await {
                            Ok(answer) => return answer,
                            // A lost connection is replaced at once. The server behind a pooler may be promoted
                            // later.
                            Err(failure) => (failure.is_known_outage(), failure),
                        }
                    }
                    Err(failure) => (true, failure),
                };
                let passes = failure.passes;
                let failure = failure.after(last.take());
                let is_tried_again = if is_waited_for {
                    Instant::now() + PAUSE < wait_until
                } else {
                    attempts -= 1;
                    attempts > 0 && Instant::now() < wait_until
                };
                if !passes || !is_tried_again {
                    return Err(failure.to_persist(Phase::Before));
                }
                if is_waited_for {
                    sleep(PAUSE).await;
                }
                last = Some(failure);
            }
        });
        task.await.unwrap_or_else(|_| {
            let error = PersistError::new(ErrorKind::Internal, "the read was lost");
            Err(error.with_effect(Effect::NotApplied))
        })
    }

    /// Waits until every read has ended, and closes the readers.
    pub(crate) async fn close(&self) {
        let connections = self.connections.clone();
        // Connections that are not closed end with their threads.
        drop(self.engine.handle().spawn(async move { connections.close().await }).await);
    }
}

/// Attempts a read once. A connection with a failure is not used again.
async fn attempt_to(
    mut connection: Borrowed,
    settings: &Settings,
    tenant: &TenantId,
    read: &ReadArgs,
    (now, wait_until): (Timestamp, Instant),
) -> std::result::Result<Result<ReadResult>, Failure> {
    let time_left = wait_until.saturating_duration_since(Instant::now());
    let begun =
        begin(settings, connection.connection(), Of::Reads, || Reach::of_read(tenant, read), time_left)
            .await?;
    connection.set_timeline(begun.timeline);
    // The server ends a search before the connection times out.
    let searching = settings.options.search.then(|| Searching {
        tokenizer: settings.options.tokenizer,
        ends: wait_until.min(Instant::now() + settings.options.answer_limit / 8 * 7),
    });
    let indexed = &settings.options.indexed;
    let answering = answer(connection.connection(), begun, tenant, read, now, (searching, indexed));
    let answered = timeout(settings.options.answer_limit, answering).await;
    match answered {
        Ok(Ok((answer, in_transaction))) => {
            // The caller does not wait for the end of a read-only transaction.
            if in_transaction {
                tokio::spawn(give_back(connection, settings.options.answer_limit));
            } else {
                connection.give_back();
            }
            Ok(Ok(answer))
        }
        Ok(Err(ReadError::Refused(error))) => {
            tokio::spawn(give_back(connection, settings.options.answer_limit));
            Ok(Err(error))
        }
        Ok(Err(ReadError::Engine(error))) => Err(error.into()),
        Err(_) => Err(Failure::timed_out()),
    }
}

async fn give_back(mut connection: Borrowed, limit: Duration) {
    let rolled_back = timeout(limit, sqlx::raw_sql("ROLLBACK").execute(connection.connection())).await;
    if matches!(rolled_back, Ok(Ok(_))) {
        connection.give_back();
    }
}

/// Runs a read in one snapshot, and returns whether it began a transaction.
async fn answer(
    db: &mut PgConnection,
    begun: Begun,
    tenant: &TenantId,
    read: &ReadArgs,
    now: Timestamp,
    (searching, indexed): (Option<Searching>, &IndexedMetadata),
) -> Answer<(ReadResult, bool)> {
    // A single statement needs no transaction for one snapshot.
    if begun.is_optional
        && let ReadArgs::Get(get) = read
        && let Some(settled) = message::get_settled(db, tenant, get).await?
    {
        return Ok((ReadResult::Get(settled), false));
    }
    begun.say(db).await?;
    let mut scope = Scope { db: &mut *db, tenant, now };
    let answer = match read {
        ReadArgs::Get(get) => scope.get(get).await.map(ReadResult::Get),
        ReadArgs::Content(read) => scope.tail(read).await.map(ReadResult::Content),
        ReadArgs::Page(read) => scope.page(read).await.map(ReadResult::Page),
        ReadArgs::OpenReservations(list) => scope.open(list).await.map(ReadResult::OpenReservations),
        ReadArgs::Thread(get) => scope.entry(get).await.map(ReadResult::Thread),
        ReadArgs::Threads(list) => scope.threads(list).await.map(ReadResult::Threads),
        ReadArgs::PlanPrune(plan) => scope.plan_prune(plan).await.map(ReadResult::PlanPrune),
        ReadArgs::Tenants(list) => scope.tenants(list).await.map(ReadResult::Tenants),
        ReadArgs::Purgeable(list) => scope.purgeable(list).await.map(ReadResult::Purgeable),
        ReadArgs::Changes(read) => scope.changes(read).await.map(ReadResult::Changes),
        ReadArgs::Cursor(read) => scope.cursor(read).await.map(ReadResult::Cursor),
        ReadArgs::Quarantined(list) => scope.quarantined(list).await.map(ReadResult::Quarantined),
        ReadArgs::Aliases(list) => scope.aliases(list).await.map(ReadResult::Aliases),
        ReadArgs::Resolve(read) => scope.resolve(read).await.map(ReadResult::Resolve),
        ReadArgs::Attempts(list) => scope.attempts(list).await.map(ReadResult::Attempts),
        ReadArgs::Search(read) => match searching {
            Some(searching) => scope.search(searching, read).await.map(ReadResult::Search),
            None => {
                let operation = "a search of a store that was opened without `search(true)`";
                Err(PersistError::unsupported(operation).into())
            }
        },
        ReadArgs::Find(find) => scope.found(indexed, find).await.map(ReadResult::Find),
        ReadArgs::Audit(read) => scope.audit(read).await.map(ReadResult::Audit),
        ReadArgs::Images(read) => Ok(ReadResult::Images(replica::images(scope.db, read, now).await?)),
        ReadArgs::ReplicationStatus(_) => Ok(ReadResult::ReplicationStatus(replica::status(scope.db).await?)),
        other => Err(PersistError::unsupported(format_args!("the read `{}`", other.as_str())).into()),
    }?;
    Ok((answer, true))
}

impl Scope<'_> {
    /// Returns the row of the thread, deleted or not.
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
        let state = decode_thread(&row)?;
        Ok(Some(state.ok_or_else(|| damaged(format!("the row of the thread `{thread}`")))?))
    }

    /// Returns the row of the thread, if the thread exists and is not deleted.
    async fn living(&mut self, thread: &ThreadId) -> Answer<Option<ThreadRow>> {
        Ok(self.thread(thread).await?.filter(|state| !state.deleted))
    }
}
