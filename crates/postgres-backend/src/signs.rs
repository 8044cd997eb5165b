//! Signs that something was committed, from this process and from others. They wake those who wait, and carry nothing: what was
//! committed is read.

use std::time::Duration;

use sqlx::{PgConnection, Row as _, postgres::PgListener};
use throughline_core::Position;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use crate::{options::Settings, rows::counter};

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
        let followed = if settings.options.pgbouncer {
            look(&settings, &signs).await
        } else {
            listen(&settings, &signs).await
        };
        if let Err(error) = followed {
            tracing::debug!(error = %crate::error::Failure::from(error).kind, "signs are not heard for now");
        }
        sleep(AGAIN).await;
    }
}

async fn listen(settings: &Settings, signs: &watch::Sender<Position>) -> sqlx::Result<()> {
    let pool =
        sqlx::postgres::PgPoolOptions::new().max_connections(1).connect_lazy_with(settings.connect.clone());
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.listen(CHANNEL).await?;
    loop {
        match timeout(LOOK, listener.try_recv()).await {
            Ok(Ok(Some(notification))) => {
                if let Ok(position) = notification.payload().parse() {
                    tell(signs, Position::new(position));
                }
            }
            Ok(Ok(None)) => return Ok(()),
            Ok(Err(error)) => return Err(error),
            Err(_) => {
                let row = sqlx::query(POSITION).fetch_one(&mut listener).await?;
                tell_row(signs, &row)?;
            }
        }
    }
}

async fn look(settings: &Settings, signs: &watch::Sender<Position>) -> sqlx::Result<()> {
    use sqlx::Connection as _;

    let mut db = PgConnection::connect_with(&settings.connect).await?;
    loop {
        let row = sqlx::query(POSITION).persistent(false).fetch_one(&mut db).await?;
        tell_row(signs, &row)?;
        sleep(LOOK).await;
    }
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
