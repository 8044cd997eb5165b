//! Commit notifications of other processes, over `LISTEN` or, behind a pooler, by polling the position of the store.

use std::{sync::OnceLock, time::Duration};

use sqlx::{Row as _, postgres::PgListener};
use throughline_core::{
    Position,
    changes::{CommitNotifications, CommitNotifier},
};
use tokio::{
    task::AbortHandle,
    time::{sleep, timeout},
};

use crate::{advisory::lock_number, engine::Engine, error::Failure, options::Settings, rows::counter};

/// The channel of `NOTIFY`.
pub(crate) const CHANNEL: &str = "throughline_commits";

/// Returns whether a process listens: each listener holds the lock of listeners, shared. Here the lock is held for this expression
/// only. If two sessions evaluate it at the same moment, one of them may take the other for a listener.
macro_rules! is_heard {
    () => {
        concat!(
            "CASE WHEN pg_try_advisory_lock(",
            $crate::advisory::lock_number!(listeners),
            ") THEN NOT pg_advisory_unlock(",
            $crate::advisory::lock_number!(listeners),
            ") ELSE true END"
        )
    };
}
pub(crate) use is_heard;

/// Held as long as the session listens. Taken before `LISTEN`, so that a commit after that sends its notification.
const HEAR: &str = concat!("SELECT pg_advisory_lock_shared(", lock_number!(listeners), ")");

/// The interval at which the position is read in any case: a notification may be lost, and a pooler forwards none.
const POLL: Duration = Duration::from_secs(1);

/// The pause before a new connection after the server was lost.
const RECONNECT_AFTER: Duration = Duration::from_millis(200);

/// The commit notifications of a store, and the task that receives those of other processes.
#[derive(Debug, Default)]
pub(crate) struct CommitListener {
    notifier: CommitNotifier,
    /// It runs from the first subscription on.
    task: OnceLock<AbortHandle>,
}

impl CommitListener {
    pub(crate) const fn notifier(&self) -> &CommitNotifier {
        &self.notifier
    }

    /// Returns the notifications of every process.
    pub(crate) fn subscribe(&self, settings: &Settings, engine: &Engine) -> CommitNotifications {
        let listen = || {
            let followed = follow(settings.clone(), self.notifier.clone());
            engine.handle().spawn(followed).abort_handle()
        };
        self.task.get_or_init(listen);
        self.notifier.subscribe()
    }

    pub(crate) fn stop(&self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }
}

/// Emits a notification for each commit of another process, until the task is aborted.
async fn follow(settings: Settings, notifier: CommitNotifier) {
    loop {
        // A read or a write returns the error of the server; here it is only logged.
        let followed = if settings.options.pgbouncer && settings.listening.is_none() {
            poll(&settings, &notifier).await
        } else {
            listen(&settings, &notifier).await
        };
        if let Err(error) = followed {
            tracing::debug!(error = %error.kind, "commit notifications are interrupted");
        }
        sleep(RECONNECT_AFTER).await;
    }
}

/// Listens until the connection is lost, or another server becomes the primary.
async fn listen(settings: &Settings, notifier: &CommitNotifier) -> Result<(), Failure> {
    let limit = settings.options.answer_limit;
    let servers = settings.listening.as_ref().unwrap_or(&settings.servers);
    // Finds the primary.
    servers.connect(limit).await?;
    let (host, timeline) = servers.last();
    let pool = sqlx::postgres::PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(limit)
        .connect_lazy_with(host);
    let mut listener = PgListener::connect_with(&pool).await?;
    timeout(limit, sqlx::raw_sql(HEAR).execute(&mut listener)).await.map_err(|_| Failure::timed_out())??;
    listener.listen(CHANNEL).await?;
    while servers.is_current(timeline) {
        match timeout(POLL, listener.try_recv()).await {
            Ok(Ok(Some(notification))) => {
                if let Ok(position) = notification.payload().parse() {
                    notifier.notify(Position::new(position));
                }
            }
            Ok(Ok(None)) => return Ok(()),
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => {
                let row = timeout(limit, sqlx::query(POSITION).fetch_one(&mut listener)).await;
                notify_row(notifier, &row.map_err(|_| Failure::timed_out())??)?;
            }
        }
    }
    Ok(())
}

async fn poll(settings: &Settings, notifier: &CommitNotifier) -> Result<(), Failure> {
    let limit = settings.options.answer_limit;
    let mut connected = settings.servers.connect(limit).await?;
    while settings.servers.is_current(connected.timeline) {
        // A simple query: a pooler may use another connection for the second step of a prepared one.
        let row = timeout(limit, sqlx::raw_sql(POSITION).fetch_one(&mut connected.connection)).await;
        notify_row(notifier, &row.map_err(|_| Failure::timed_out())??)?;
        sleep(POLL).await;
    }
    Ok(())
}

const POSITION: &str = "SELECT position FROM throughline.store WHERE id = 1";

fn notify_row(notifier: &CommitNotifier, row: &sqlx::postgres::PgRow) -> sqlx::Result<()> {
    if let Some(position) = counter(row.try_get("position")?) {
        notifier.notify(Position::new(position));
    }
    Ok(())
}
