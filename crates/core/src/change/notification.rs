//! Commit notifications: a store wakes the tasks of its process that read the change feed.

use std::fmt;

use tokio::sync::watch;

use crate::Position;

/// The sender of commit notifications. A backend keeps one and notifies it after each commit.
///
/// ```
/// use throughline_core::{Position, changes::CommitNotifier};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let notifier = CommitNotifier::new();
/// let mut commits = notifier.subscribe();
/// notifier.notify(Position::new(7));
/// assert_eq!(commits.changed().await, Some(Position::new(7)));
/// drop(notifier);
/// assert_eq!(commits.changed().await, None);
/// # }
/// ```
#[derive(Clone)]
pub struct CommitNotifier(watch::Sender<Position>);

impl CommitNotifier {
    /// Returns a notifier whose latest position is [`Position::ZERO`].
    #[must_use]
    pub fn new() -> Self {
        Self(watch::Sender::new(Position::ZERO))
    }

    /// Wakes every subscriber, unless a notification with this position or a later one was sent before.
    pub fn notify(&self, position: Position) {
        self.0.send_if_modified(|latest| {
            let is_later = position > *latest;
            if is_later {
                *latest = position;
            }
            is_later
        });
    }

    /// Wakes every subscriber without a position, because another process may have committed.
    pub fn wake(&self) {
        self.0.send_modify(|_| {});
    }

    /// Whether there are subscribers now.
    #[must_use]
    pub fn has_subscribers(&self) -> bool {
        self.0.receiver_count() > 0
    }

    /// Subscribes to the notifications from now on.
    #[must_use]
    pub fn subscribe(&self) -> CommitNotifications {
        CommitNotifications(self.0.subscribe())
    }

    /// The latest position that was sent.
    #[must_use]
    pub fn latest(&self) -> Position {
        *self.0.borrow()
    }
}

impl Default for CommitNotifier {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for CommitNotifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CommitNotifier").field(&self.latest()).finish()
    }
}

/// The receiver of commit notifications. Several commits can produce one notification, and a notification can be spurious. It
/// carries no data; a reader without notifications polls.
#[derive(Clone)]
pub struct CommitNotifications(watch::Receiver<Position>);

impl CommitNotifications {
    /// Waits for an unseen notification, and returns the latest position. `None` once every notifier is dropped.
    ///
    /// # Cancel safety
    /// A notification that arrives at a dropped call is seen by the next call.
    pub async fn changed(&mut self) -> Option<Position> {
        self.0.changed().await.ok()?;
        Some(*self.0.borrow_and_update())
    }

    /// The latest position, seen or not. It is [`Position::ZERO`] before the first notification.
    #[must_use]
    pub fn latest(&self) -> Position {
        *self.0.borrow()
    }

    /// Marks all notifications so far as seen. A reader calls it before a read, so that it does not miss a commit during the
    /// read.
    pub fn mark_seen(&mut self) {
        self.0.mark_unchanged();
    }
}

impl fmt::Debug for CommitNotifications {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CommitNotifications").field(&self.latest()).finish()
    }
}
