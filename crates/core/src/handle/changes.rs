use std::{collections::VecDeque, fmt, sync::Arc, time::Duration};

use tokio::time::timeout;

use super::Persistence;
use crate::{
    Position, Result, TenantId,
    change::{Change, ChangeScope, CommitNotifications},
    context::FeedScopes,
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
    /// The scopes that the store reads for this feed.
    read_in_store: Arc<FeedScopes>,
    notified_of: NotifiedOf,
    scope: ChangeScope,
    /// The position up to which the feed has read.
    read: Position,
    /// The position of the last change that the feed has returned.
    returned: Position,
    buffered: VecDeque<Change>,
    /// Whether the last read reached the end.
    has_reached_end: bool,
}

/// The commits of which the notifications of a feed are.
enum NotifiedOf {
    /// Before the first read.
    EveryCommit,
    Scope(TenantId, ChangeScope),
    /// A layer reads several scopes, or changing ones.
    EveryCommitForGood,
}

/// The number of changes in one read.
const PAGE: u32 = 256;

/// The longest wait for a commit notification. The store may omit notifications.
const WAIT: Duration = Duration::from_secs(5);

/// The interval of reads for a store without notifications.
const POLL: Duration = Duration::from_millis(500);

impl ChangeFeed {
    pub(super) fn new(
        db: Persistence,
        commits: Option<CommitNotifications>,
        scope: ChangeScope,
        after: Position,
    ) -> Self {
        Self {
            db,
            commits,
            read_in_store: Arc::default(),
            notified_of: NotifiedOf::EveryCommit,
            scope,
            read: after,
            returned: after,
            buffered: VecDeque::new(),
            has_reached_end: false,
        }
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
            self.has_reached_end = false;
            let read = ReadChanges::new(self.scope.clone(), self.read, PAGE);
            let changes = self.db.read(read).recording(&self.read_in_store).await?;
            self.read = changes.position;
            self.buffered = changes.changes.into();
            // Other notifications do not announce the commits between this read and the subscription to them.
            self.has_reached_end = !self.narrow() && !changes.more;
            if self.buffered.is_empty() && self.has_reached_end {
                return Ok(None);
            }
        }
        let change = self.buffered.pop_front();
        if let Some(change) = &change {
            self.returned = change.position;
        }
        Ok(change)
    }

    /// Whether the feed has returned all changes that the last read found, and that read reached the end of the feed. A notification
    /// announces further ones: [`wait_for_commit`](Self::wait_for_commit) returns at once if it was sent since that read began. So
    /// a reader that waits next saves a read.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        self.buffered.is_empty() && self.has_reached_end
    }

    /// Subscribes to the commits of the scope that the store has read; to all of them again if a later read had another scope.
    /// Returns whether it did.
    fn narrow(&mut self) -> bool {
        let (scope, Some(commits)) = (self.read_in_store.take_only(), &mut self.commits) else {
            return false;
        };
        match (&self.notified_of, scope) {
            (NotifiedOf::EveryCommit, Some((tenant, scope))) if scope != ChangeScope::Store => {
                *commits = commits.narrowed_to(&tenant, &scope);
                self.notified_of = NotifiedOf::Scope(tenant, scope);
                true
            }
            (NotifiedOf::Scope(tenant, scope), read)
                if read.as_ref().is_none_or(|read| (&read.0, &read.1) != (tenant, scope)) =>
            {
                *commits = commits.narrowed_to(tenant, &ChangeScope::Store);
                self.notified_of = NotifiedOf::EveryCommitForGood;
                true
            }
            _ => false,
        }
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

    /// Waits for a notification of a commit that may concern this feed, at most five seconds, because the store may omit
    /// notifications. For a store without notifications, the method waits half a second. It returns at once when the pipeline
    /// [closes](Persistence::close) during the wait; the next read then fails as `Unavailable`. On a closed pipeline it waits half a
    /// second.
    ///
    /// # Cancel safety
    /// If the future is dropped, no change is lost.
    pub async fn wait_for_commit(&mut self) {
        let core = Arc::clone(self.db.core());
        let in_flight = core.in_flight();
        if in_flight.is_closing() {
            // A caller that repeats its read in any case must not keep the task that closes from running.
            return tokio::time::sleep(POLL).await;
        }
        tokio::select! {
            biased;
            () = in_flight.closing_begun() => {}
            () = self.wait_for_notification() => {}
        }
    }

    async fn wait_for_notification(&mut self) {
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
