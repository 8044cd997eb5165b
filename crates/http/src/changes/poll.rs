//! The long poll of changes.

use std::time::Duration;

use throughline_core::{
    Persistence, Position,
    changes::{ChangeScope, Changes, CommitNotifications, ReadChanges},
};
use tokio::time::{Instant, sleep, timeout_at};

use crate::{answer::Answer, problem::Problem, shutdown::Shutdown};

/// The interval of the reads if the store sends no commit notifications.
const POLL: Duration = Duration::from_millis(500);

/// The longest time without a read if the store sends notifications, because it may omit some.
const REREAD: Duration = Duration::from_secs(5);

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
    let mut commits = db.commit_notifications();
    let mut read = ReadChanges::new(scope, after, limit);
    loop {
        if let Some(commits) = &mut commits {
            // The read below sees every commit before here, and a notification announces those after.
            commits.mark_seen();
        }
        let changes: Changes = db.read(read.clone()).await?;
        let is_over = Instant::now() >= end;
        if !changes.changes.is_empty() || is_over {
            return Ok(Answer::ok(&changes));
        }
        read.after = changes.position;
        if changes.more {
            continue;
        }
        tokio::select! {
            () = shutdown.begun() => return Ok(Answer::ok(&changes)),
            _ = timeout_at(end, commit(&mut commits)) => {}
        }
    }
}

/// Waits for a commit, or until it is time to read again.
async fn commit(commits: &mut Option<CommitNotifications>) {
    if let Some(notifications) = commits {
        tokio::select! {
            position = notifications.changed() => if position.is_some() { return },
            () = sleep(REREAD) => return,
        }
        // The store is closed: the next read says so.
        *commits = None;
    }
    sleep(POLL).await;
}
