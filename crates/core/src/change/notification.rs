//! Commit notifications: a store tells the tasks of its process that a read of the changes may find more.

use std::fmt;

use tokio::sync::watch;

use crate::Position;

/// Sends commit notifications. A backend keeps one and notifies it after each commit.
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
    /// A notifier that has sent nothing. Its latest position is [`Position::ZERO`].
    #[must_use]
    pub fn new() -> Self {
        Self(watch::Sender::new(Position::ZERO))
    }

    /// Wakes every subscriber, unless a notification of this position or a later one was sent before.
    pub fn notify(&self, position: Position) {
        self.0.send_if_modified(|latest| {
            let is_later = position > *latest;
            if is_later {
                *latest = position;
            }
            is_later
        });
    }

    /// Wakes every subscriber without a position: another process may have committed.
    pub fn wake(&self) {
        self.0.send_modify(|_| {});
    }

    /// Whether anything subscribes at this moment.
    #[must_use]
    pub fn has_subscribers(&self) -> bool {
        self.0.receiver_count() > 0
    }

    /// Notifications from here on.
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

/// Receives commit notifications. Several commits may come as one notification, and a notification may come for nothing: it
/// carries no data, and a reader without notifications polls.
#[derive(Clone)]
pub struct CommitNotifications(watch::Receiver<Position>);

impl CommitNotifications {
    /// Waits for a notification that was not seen, and answers the latest position. `None` once every notifier is gone.
    ///
    /// # Cancel safety
    /// A notification that arrives while it is dropped is seen by the next call.
    pub async fn changed(&mut self) -> Option<Position> {
        self.0.changed().await.ok()?;
        Some(*self.0.borrow_and_update())
    }

    /// The latest position, seen or not. It is [`Position::ZERO`] before the first notification.
    #[must_use]
    pub fn latest(&self) -> Position {
        *self.0.borrow()
    }

    /// Regards every notification so far as seen. A reader calls it before it reads, so that a commit during the read is not
    /// missed.
    pub fn mark_seen(&mut self) {
        self.0.mark_unchanged();
    }
}

impl fmt::Debug for CommitNotifications {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CommitNotifications").field(&self.latest()).finish()
    }
}
