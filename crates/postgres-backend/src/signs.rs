//! Signs that something was committed, from this process and from others. They wake those who wait, and carry nothing: what was
//! committed is read.

use std::time::Duration;

use sqlx::{Row as _, postgres::PgListener};
use throughline_core::Position;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use crate::{error::Failure, options::Settings, rows::counter};

/// What commits are told on.
pub(crate) const CHANNEL: &str = "throughline_commits";

/// How often it is looked for commits all the same: a sign may be lost, and a pooler passes none on.
const LOOK: Duration = Duration::from_secs(1);

/// How long to wait before it is listened anew to a server that was lost.
const AGAIN: Duration = Duration::from_millis(200);

/// Tells the commits of other processes, for as long as anybody may wait for them.
pub(crate) async fn follow(settings: Settings, signs: watch::Sender<Position>) {
    loop {
        // Nothing it fails with is of use to anybody here: whoever reads or writes is told.
        let followed = if settings.options.pgbouncer && settings.listening.is_none() {
            look(&settings, &signs).await
        } else {
            listen(&settings, &signs).await
        };
        if let Err(error) = followed {
            tracing::debug!(error = %error.kind, "signs are not heard for now");
        }
        sleep(AGAIN).await;
    }
}

/// Until the server is lost, or another one takes the writes.
async fn listen(settings: &Settings, signs: &watch::Sender<Position>) -> Result<(), Failure> {
    let limit = settings.options.answer_limit;
    let servers = settings.listening.as_ref().unwrap_or(&settings.servers);
    // Finds out who it is.
    servers.connect(limit).await?;
    let (host, timeline) = servers.last();
    let pool = sqlx::postgres::PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(limit)
        .connect_lazy_with(host);
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.listen(CHANNEL).await?;
    while servers.is_current(timeline) {
        match timeout(LOOK, listener.try_recv()).await {
            Ok(Ok(Some(notification))) => {
                if let Ok(position) = notification.payload().parse() {
                    tell(signs, Position::new(position));
                }
            }
            Ok(Ok(None)) => return Ok(()),
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => {
                let row = timeout(limit, sqlx::query(POSITION).fetch_one(&mut listener)).await;
                tell_row(signs, &row.map_err(|_| Failure::timed_out())??)?;
            }
        }
    }
    Ok(())
}

async fn look(settings: &Settings, signs: &watch::Sender<Position>) -> Result<(), Failure> {
    let limit = settings.options.answer_limit;
    let mut connected = settings.servers.connect(limit).await?;
    while settings.servers.is_current(connected.timeline) {
        // Not prepared: a pooler may have another connection for the second step.
        let row = timeout(limit, sqlx::raw_sql(POSITION).fetch_one(&mut connected.connection)).await;
        tell_row(signs, &row.map_err(|_| Failure::timed_out())??)?;
        sleep(LOOK).await;
    }
    Ok(())
}

const POSITION: &str = "SELECT position FROM throughline.store WHERE id = 1";

fn tell_row(signs: &watch::Sender<Position>, row: &sqlx::postgres::PgRow) -> sqlx::Result<()> {
    if let Some(position) = counter(row.try_get("position")?) {
        tell(signs, Position::new(position));
    }
    Ok(())
}

fn tell(signs: &watch::Sender<Position>, position: Position) {
    signs.send_if_modified(|told| {
        let is_later = position > *told;
        *told = position.max(*told);
        is_later
    });
}
