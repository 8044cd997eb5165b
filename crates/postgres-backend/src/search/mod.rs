//! The full-text index.
//!
//! A task updates the index from the change feed, in transactions of its own on a connection of its own; commits of
//! the store do not write to it. One row records its progress in the same transaction, and the process that locks
//! this row performs the next step. So any number of processes keep one index. If changes are missing, the index is
//! rebuilt from the messages.

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
    state::{Names, State, TermMaker},
    words::{Asked, rank_factors},
};
use crate::{
    error::Failure,
    options::Settings,
    row_security::Reach,
    transaction::{Of, begin},
    writer::{Link, in_time},
};

/// The shortest time for which changes accumulate.
const GATHER: Duration = Duration::from_millis(5);

/// While commits continue, the task rests this many times longer than a step took.
const REST: u32 = 3;

/// The interval at which the task checks for commits of other processes.
const LOOK: Duration = Duration::from_secs(1);

/// The pause while another process holds the index.
const ELSEWHERE: Duration = Duration::from_millis(50);

/// The shortest and the longest pause after a failure.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Updates the index until the task is aborted. With `adds`, terms are added; without it, the task only removes the
/// terms of deleted messages.
pub(crate) async fn keep(settings: Settings, mut commits: CommitNotifications, adds: bool) {
    let mut link = Link::new(settings.clone());
    let (mut pause, mut before) = (PAUSE, 0);
    // The process that opened the store last decides.
    let mut makes = Some(settings.options.tokenizer);
    loop {
        commits.mark_seen();
        let begun = Instant::now();
        match step(&settings, &mut link, adds, makes).await {
            Ok(Step::Taken { more, position, .. }) => {
                (pause, makes) = (PAUSE, None);
                let is_busy = position != std::mem::replace(&mut before, position);
                if is_busy {
                    sleep((begun.elapsed() * REST).max(GATHER)).await;
                }
                if !more && !is_busy {
                    // If the notifier was dropped, no more commits can come.
                    if let Ok(None) = timeout(LOOK, commits.changed()).await {
                        return link.close().await;
                    }
                }
            }
            Ok(Step::Elsewhere) => sleep(ELSEWHERE).await,
            Ok(Step::Absent) => return link.close().await,
            Err(failure) => {
                tracing::debug!(kind = %failure.kind, "the update of the full-text index is interrupted");
                link.lose();
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Performs a step in a transaction of its own, without waiting for its flush. If it is lost, its progress row is
/// lost with it.
async fn step(
    settings: &Settings,
    link: &mut Link,
    adds: bool,
    makes: Option<Tokenizer>,
) -> Result<Step, Failure> {
    link.get().await?;
    // Taken out of the link: if this future is dropped in the middle, the connection closes.
    let mut db = link.take().ok_or_else(Failure::lost)?;
    let begun = begin(settings, &mut db, Of::Writes, || Reach::Store, settings.options.wait_limit).await?;
    link.set_timeline(begun.timeline);
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

/// Returns whether there is an index, or a remainder of one.
pub(crate) async fn is_there(settings: &Settings, db: &mut PgConnection) -> sqlx::Result<bool> {
    let reach = if settings.options.row_security { Reach::Store.statement() } else { String::new() };
    let forget = settings.forget_names();
    let begin = format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {forget}{reach}");
    sqlx::raw_sql(AssertSqlSafe(begin)).execute(&mut *db).await?;
    let state = State::read(&mut *db).await?;
    let has_words = "SELECT EXISTS (SELECT 1 FROM throughline.search)";
    let has_words: bool = sqlx::query_scalar(has_words).persistent(false).fetch_one(&mut *db).await?;
    sqlx::raw_sql("ROLLBACK").execute(db).await?;
    Ok(has_words || !state.is_nothing())
}

/// Updates the index with applied row images, in their transaction: not every image has a change event. Does
/// nothing if the store has no index.
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
        // Removes only some rows of a long thread; the change event removes the rest.
        refresh::gone(&mut *db, tenant.as_str(), thread.as_str(), through.get()).await?;
    }
    refresh::refresh(db, messages, Some(state.term_maker)).await
}
