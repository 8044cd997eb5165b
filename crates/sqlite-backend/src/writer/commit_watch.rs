//! Commit notifications: the writer sends one for each of its commits, and detects the commits of other processes.
//!
//! SQLite counts the commits of others in `PRAGMA data_version`. The writer reads that number while it is idle and has
//! subscribers, or a full-text index to maintain.

use std::time::Duration;

use rusqlite::Connection;
use throughline_core::{Position, TenantId, ThreadId, changes::CommitNotifier};

use super::batch::Batch;

/// How often the writer looks for commits of other processes.
const POLL: Duration = Duration::from_millis(25);

/// The same interval if the writer only maintains a full-text index.
const POLL_FOR_THE_INDEX: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(super) struct CommitWatch {
    notifier: CommitNotifier,
    /// `PRAGMA data_version` at the last poll of this connection.
    data_version: Option<i64>,
    /// The position of the last commit of the writer.
    committed: Option<i64>,
}

impl CommitWatch {
    pub(super) const fn new(notifier: CommitNotifier) -> Self {
        Self { notifier, data_version: None, committed: None }
    }

    /// Returns how long an idle writer waits before it [polls](Self::poll). `None` if no subscriber and no index needs
    /// it.
    pub(super) fn timeout(&self, has_index: bool) -> Option<Duration> {
        match (self.notifier.has_subscribers(), has_index) {
            (true, _) => Some(POLL),
            (false, true) => Some(POLL_FOR_THE_INDEX),
            (false, false) => None,
        }
    }

    /// Resets the counter, because a new connection counts from another number.
    pub(super) const fn reopened(&mut self) {
        self.data_version = None;
    }

    /// Returns the threads that changed since the last commit of the writer, if a reader subscribes to single threads or tenants.
    /// `None` if that is not known or of no use.
    ///
    /// A writer that is never idle does not poll. If another process has committed since the last commit of this writer, the
    /// notification for this commit is also the one for that.
    pub(super) fn threads_of(&self, batch: &Batch) -> Option<Vec<(TenantId, ThreadId)>> {
        let is_alone = self.committed == Some(batch.begun_at);
        (is_alone && self.notifier.has_narrowed_subscribers()).then(|| batch.changed_threads()).flatten()
    }

    /// Sends a notification for a commit of the writer that changed these threads.
    pub(super) fn committed(&mut self, position: i64, threads: Option<Vec<(TenantId, ThreadId)>>) {
        self.committed = Some(position);
        let position = Position::new(u64::try_from(position).unwrap_or_default());
        match threads {
            Some(threads) => {
                let threads = threads.iter().map(|(tenant, thread)| (tenant, thread));
                self.notifier.notify_threads(position, threads);
            }
            None => self.notifier.notify(position),
        }
    }

    /// Sends notifications for commits of other processes. Returns whether there may be one since the last poll.
    pub(super) fn poll(&mut self, connection: &Connection, has_index: bool) -> rusqlite::Result<bool> {
        if !self.notifier.has_subscribers() && !has_index {
            self.data_version = None;
            return Ok(false);
        }
        let version = connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        // Also at the first poll: others may have committed since the last subscriber left.
        let is_new = self.data_version.replace(version) != Some(version);
        if is_new {
            self.notifier.wake();
        }
        Ok(is_new)
    }
}
