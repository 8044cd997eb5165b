use std::{collections::VecDeque, fmt, time::Duration};

use tokio::time::timeout;

use super::Persistence;
use crate::{
    Position, Result,
    change::{Change, ChangeScope, CommitNotifications},
    operation::ReadChanges,
};

/// A feed of the changes after a position, including future ones. It returns the changes of all processes, in commit order
/// and without a gap.
///
/// A reader can store the [`position`](Self::position) and continue from it with another feed, also in another process. Such
/// a reader receives each change at least once.
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
    /// The position up to which the feed has read.
    read: Position,
    /// The position of the last change that the feed has returned.
    returned: Position,
    buffered: VecDeque<Change>,
}

/// The number of changes in one read.
const PAGE: u32 = 256;

/// The longest wait for a commit notification. The store may omit notifications.
const WAIT: Duration = Duration::from_secs(5);

/// The interval of reads for a store without notifications.
const POLL: Duration = Duration::from_millis(500);

impl ChangeFeed {
    pub(super) const fn new(
        db: Persistence,
        commits: Option<CommitNotifications>,
        scope: ChangeScope,
        after: Position,
    ) -> Self {
        Self { db, commits, scope, read: after, returned: after, buffered: VecDeque::new() }
    }

    /// Returns the position from which another feed can continue without a gap. The feed has returned every change of its scope
    /// up to this position.
    #[must_use]
    pub fn position(&self) -> Position {
        if self.buffered.is_empty() { self.read } else { self.returned }
    }

    /// Returns the next change. Waits until there is one.
    ///
    /// # Errors
    /// [`TooOld`](crate::ErrorKind::TooOld) if the store no longer has all changes after the position. Otherwise the error of the
    /// read. The position is unchanged after an error: the next call reads again.
    ///
    /// # Cancel safety
    /// If the future is dropped before it returns, no change is lost.
    pub async fn next(&mut self) -> Result<Change> {
        loop {
            if let Some(change) = self.next_now().await? {
                return Ok(change);
            }
            self.wait_for_commit().await;
        }
    }

    /// Returns the next change, or `None` if there is no further one yet.
    ///
    /// # Errors
    /// As for [`next`](Self::next).
    ///
    /// # Cancel safety
    /// As for [`next`](Self::next).
    pub async fn next_now(&mut self) -> Result<Option<Change>> {
        while self.buffered.is_empty() {
            if let Some(commits) = &mut self.commits {
                // The next read sees every commit until now. A notification announces each later one.
                commits.mark_seen();
            }
            let read = ReadChanges::new(self.scope.clone(), self.read, PAGE);
            let changes = self.db.read(read).await?;
            self.read = changes.position;
            self.buffered = changes.changes.into();
            if self.buffered.is_empty() && !changes.more {
                return Ok(None);
            }
        }
        let change = self.buffered.pop_front();
        if let Some(change) = &change {
            self.returned = change.position;
        }
        Ok(change)
    }

    /// Returns the buffered changes, or those of one read if none is buffered, in order. The result is empty if there is no
    /// further change yet.
    ///
    /// # Errors
    /// As for [`next`](Self::next).
    ///
    /// # Cancel safety
    /// As for [`next`](Self::next).
    pub async fn next_batch_now(&mut self) -> Result<Vec<Change>> {
        let Some(first) = self.next_now().await? else { return Ok(Vec::new()) };
        let changes: Vec<Change> = std::iter::once(first).chain(self.buffered.drain(..)).collect();
        self.returned = self.read;
        Ok(changes)
    }

    /// Waits for a commit notification, at most five seconds, because the store may omit notifications. The commit may be outside
    /// of the scope of this feed. For a store without notifications, the method waits half a second.
    ///
    /// # Cancel safety
    /// If the future is dropped, no change is lost.
    pub async fn wait_for_commit(&mut self) {
        if let Some(commits) = &mut self.commits {
            match timeout(WAIT, commits.changed()).await {
                Ok(Some(_)) | Err(_) => return,
                // The store is closed: the next read returns that error.
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
