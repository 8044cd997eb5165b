//! The long poll of changes.

use std::time::Duration;

use throughline_core::{
    Persistence, Position,
    changes::{ChangeScope, Changes, ReadChanges},
};
use tokio::time::{Instant, timeout_at};

use crate::{answer::Answer, problem::Problem, shutdown::Shutdown};

/// Reads the changes after a position. It waits at most `wait` for the first one.
pub(super) async fn read(
    db: &Persistence,
    scope: ChangeScope,
    after: Position,
    limit: u32,
    wait: Duration,
    mut shutdown: Shutdown,
) -> Result<Answer, Problem> {
    let end = Instant::now() + wait;
    let mut read = ReadChanges::new(scope.clone(), after, limit);
    let changes = loop {
        let changes: Changes = db.read(read.clone()).await?;
        // Changes of others can be many. A caller without time continues from the position of the answer.
        if !changes.changes.is_empty() || !changes.more || Instant::now() >= end || shutdown.has_begun() {
            break changes;
        }
        read.after = changes.position;
    };
    if !changes.changes.is_empty() || changes.more || wait.is_zero() {
        return Ok(Answer::ok(&changes));
    }
    // The feed reads only after commits that may concern it.
    let mut feed = db.changes(scope, changes.position);
    tokio::select! {
        () = shutdown.begun() => return Ok(Answer::ok(&changes)),
        next = timeout_at(end, feed.next()) => if let Ok(next) = next { drop(next?); },
    }
    read.after = changes.position;
    Ok(Answer::ok::<Changes>(&db.read(read).await?))
}
