//! The full-text index.
//!
//! It follows the changes, in transactions of its own on a connection of its own: a commit of the store writes nothing of it. How far
//! it is stands in the same transaction, in one row, and whoever holds that row goes on with it; so any number of processes keep one
//! index. What it holds can be made again from the messages: where changes are missing, it is.

mod refresh;
mod state;
mod step;
mod words;

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, PgConnection};
use throughline_core::{Seq, TenantId, ThreadId, backend::search::Tokenizer, changes::CommitNotifications};
use tokio::time::{sleep, timeout};

use self::step::Step;
pub(crate) use self::{
    state::{Making, Names, State},
    words::{Asked, weights},
};
use crate::{
    error::Failure,
    options::Settings,
    row_security::Reach,
    transaction::{Of, begin},
    writer::{Link, in_time},
};

/// How long changes are gathered at least.
const GATHER: Duration = Duration::from_millis(5);

/// While somebody writes, how many times longer than a step took nothing is done.
const REST: u32 = 3;

/// How often it is looked for commits of other processes.
const LOOK: Duration = Duration::from_secs(1);

/// How long to wait while somebody else goes on with the index.
const ELSEWHERE: Duration = Duration::from_millis(50);

/// How long to wait after a failure: at first, and at most.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Goes on with the index, for as long as nobody ends the task. With `adds` words are added to it; what goes from the store goes from it
/// all the same.
pub(crate) async fn keep(settings: Settings, mut commits: CommitNotifications, adds: bool) {
    let mut link = Link::new(settings.clone());
    let (mut pause, mut before) = (PAUSE, 0);
    // The process that opened the store last decides.
    let mut makes = Some(settings.options.tokenizer);
    loop {
        commits.mark_seen();
        let begun = Instant::now();
        match step(&settings, &mut link, adds, makes).await {
            Ok(Step::Taken { more, told, .. }) => {
                (pause, makes) = (PAUSE, None);
                let is_busy = told != std::mem::replace(&mut before, told);
                if is_busy {
                    sleep((begun.elapsed() * REST).max(GATHER)).await;
                }
                if !more && !is_busy {
                    // Without anybody to give them nobody writes.
                    if let Ok(None) = timeout(LOOK, commits.changed()).await {
                        return link.close().await;
                    }
                }
            }
            Ok(Step::Elsewhere) => sleep(ELSEWHERE).await,
            Ok(Step::Absent) => return link.close().await,
            Err(failure) => {
                tracing::debug!(kind = %failure.kind, "the index of words is not gone on with for now");
                link.lose();
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Takes a step in a transaction of its own. Nobody waits for its way to the disk: what is lost of the index is lost with the row
/// that says how far it is.
async fn step(
    settings: &Settings,
    link: &mut Link,
    adds: bool,
    makes: Option<Tokenizer>,
) -> Result<Step, Failure> {
    link.get().await?;
    // Taken away: should this fail in the middle, the connection ends too.
    let mut db = link.take().ok_or_else(Failure::lost)?;
    let begun = begin(settings, &mut db, Of::Writes, || Reach::Store, settings.options.wait_limit).await?;
    link.leads_to(begun.timeline);
    let work = async {
        let first = format!("{}SET LOCAL synchronous_commit = off", begun.first);
        sqlx::raw_sql(AssertSqlSafe(first)).execute(&mut db).await?;
        let step = Step::take(&mut db, adds, makes).await?;
        let end = if matches!(step, Step::Taken { wrote: true, .. }) { "COMMIT" } else { "ROLLBACK" };
        sqlx::raw_sql(end).execute(&mut db).await?;
        Ok(step)
    };
    let step = in_time(settings.options.answer_limit + settings.options.wait_limit, work).await?;
    link.bring_back(db);
    Ok(step)
}

/// Whether there is an index, or something left of one.
pub(crate) async fn is_there(settings: &Settings, db: &mut PgConnection) -> sqlx::Result<bool> {
    let reach = if settings.options.row_security { Reach::Store.statement() } else { String::new() };
    // Behind a pooler whoever had the connection before has left statements of the names that the driver gives.
    let names = if settings.options.pgbouncer { "DEALLOCATE ALL; " } else { "" };
    let begin = format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {names}{reach}");
    sqlx::raw_sql(AssertSqlSafe(begin)).execute(&mut *db).await?;
    let state = State::read(&mut *db).await?;
    let has_words = "SELECT EXISTS (SELECT 1 FROM throughline.search)";
    let has_words: bool = sqlx::query_scalar(has_words).persistent(false).fetch_one(&mut *db).await?;
    sqlx::raw_sql("ROLLBACK").execute(db).await?;
    Ok(has_words || !state.is_nothing())
}

/// Brings the index up to date with images that were put in their places, in their transaction: not each of them has a change. Where
/// no index is kept, nothing is done.
pub(crate) async fn put(
    db: &mut PgConnection,
    messages: &[Names],
    ends: &[(&TenantId, &ThreadId, Seq)],
) -> sqlx::Result<()> {
    if messages.is_empty() && ends.is_empty() {
        return Ok(());
    }
    let state = State::share(&mut *db).await?;
    if state.is_nothing() {
        return Ok(());
    }
    for (tenant, thread, through) in ends {
        // Of a long thread only some: the change that tells of it takes away the rest.
        refresh::gone(&mut *db, tenant.as_str(), thread.as_str(), through.get()).await?;
    }
    refresh::refresh(db, messages, Some(state.making)).await
}
