use std::{collections::VecDeque, fmt, time::Duration};

use tokio::time::timeout;

use super::Persistence;
use crate::{
    Position, Result,
    change::{Change, ChangeScope, CommitNotifications},
    operation::ReadChanges,
};

/// The changes after a position, one after the other, and those to come as they are committed: in the order of the
/// commits, without a gap, of this process and of others.
///
/// [`position`](Self::position) can be kept, and another feed can go on from there, in another process too. Each change is
/// told at least once to who does so.
///
/// ```no_run
/// use throughline_core::{Persistence, Position, changes::{ChangeScope, ChangeKind}};
///
/// # async fn example(db: Persistence, known: Position) -> throughline_core::Result<()> {
/// let mut feed = db.changes(ChangeScope::Tenant, known);
/// loop {
///     let change = feed.next().await?;
///     if let ChangeKind::Finished(message) = &change.kind {
///         println!("{}: {} is complete", change.thread, message.id);
///     }
/// }
/// # }
/// ```
#[must_use = "nothing is read before `next`"]
pub struct ChangeFeed {
    db: Persistence,
    commits: Option<CommitNotifications>,
    scope: ChangeScope,
    /// How far was read.
    read: Position,
    /// How far was told.
    told: Position,
    at_hand: VecDeque<Change>,
}

/// How many changes are read at once.
const PAGE: u32 = 256;

/// How long to wait for a commit notification before a read: notifications may be left out.
const WAIT: Duration = Duration::from_secs(5);

/// How often to read where the store sends no notifications.
const POLL: Duration = Duration::from_millis(500);

impl ChangeFeed {
    pub(super) const fn new(
        db: Persistence,
        commits: Option<CommitNotifications>,
        scope: ChangeScope,
        after: Position,
    ) -> Self {
        Self { db, commits, scope, read: after, told: after, at_hand: VecDeque::new() }
    }

    /// The position to go on from, so that nothing is missed: everything up to it was told, or does not belong to what is
    /// followed.
    #[must_use]
    pub fn position(&self) -> Position {
        if self.at_hand.is_empty() { self.read } else { self.told }
    }

    /// The next change, waited for where there is none yet.
    ///
    /// # Errors
    /// What reading the changes answers; [`TooOld`](crate::ErrorKind::TooOld) where some after the position are not kept any
    /// more. The feed stays where it is: called again, it reads again.
    ///
    /// # Cancel safety
    /// Dropped before it answers, it has told nothing.
    pub async fn next(&mut self) -> Result<Change> {
        loop {
            if let Some(change) = self.next_now().await? {
                return Ok(change);
            }
            self.wait_for_commit().await;
        }
    }

    /// The next change; nothing where none is committed yet.
    ///
    /// # Errors
    /// As for [`next`](Self::next).
    ///
    /// # Cancel safety
    /// As for [`next`](Self::next).
    pub async fn next_now(&mut self) -> Result<Option<Change>> {
        while self.at_hand.is_empty() {
            if let Some(commits) = &mut self.commits {
                // The read below sees every commit before here, and a notification announces those after.
                commits.mark_seen();
            }
            let read = ReadChanges::new(self.scope.clone(), self.read, PAGE);
            let changes = self.db.read(read).await?;
            self.read = changes.position;
            self.at_hand = changes.changes.into();
            if self.at_hand.is_empty() && !changes.more {
                return Ok(None);
            }
        }
        let change = self.at_hand.pop_front();
        if let Some(change) = &change {
            self.told = change.position;
        }
        Ok(change)
    }

    /// The changes that one read finds, in their order: none where none is committed yet. The feed has told all of them then.
    ///
    /// # Errors
    /// As for [`next`](Self::next).
    ///
    /// # Cancel safety
    /// As for [`next`](Self::next).
    pub async fn next_batch_now(&mut self) -> Result<Vec<Change>> {
        let Some(first) = self.next_now().await? else { return Ok(Vec::new()) };
        let changes: Vec<Change> = std::iter::once(first).chain(self.at_hand.drain(..)).collect();
        self.told = self.read;
        Ok(changes)
    }

    /// Waits until the store notifies of a commit, which may be one that this feed does not follow: at most five seconds, since
    /// notifications may be left out, and half a second where the store sends none.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn wait_for_commit(&mut self) {
        if let Some(commits) = &mut self.commits {
            match timeout(WAIT, commits.changed()).await {
                Ok(Some(_)) | Err(_) => return,
                // The store is closed: the next read says so.
                Ok(None) => self.commits = None,
            }
        }
        tokio::time::sleep(POLL).await;
    }
}

impl fmt::Debug for ChangeFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChangeFeed")
            .field("scope", &self.scope)
            .field("position", &self.position())
            .finish_non_exhaustive()
    }
}
