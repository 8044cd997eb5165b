//! Commit notifications: a store wakes the tasks of its process that read the change feed.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use tokio::sync::watch;

use super::ChangeScope;
use crate::{Position, TenantId, ThreadId};

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
pub struct CommitNotifier(Arc<Senders>);

struct Senders {
    /// Every commit.
    all: watch::Sender<Position>,
    narrowed: Mutex<HashMap<NarrowScope, Narrowed>>,
}

/// A tenant, or one of its threads.
type NarrowScope = (TenantId, Option<ThreadId>);

/// The sender to the subscribers of one scope, and their number. The last one removes it.
struct Narrowed {
    sender: watch::Sender<Position>,
    subscribers: usize,
}

impl Senders {
    fn narrowed(&self) -> MutexGuard<'_, HashMap<NarrowScope, Narrowed>> {
        self.narrowed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends a position, unless this one or a later one was sent before.
fn send(sender: &watch::Sender<Position>, position: Position) {
    sender.send_if_modified(|latest| {
        let is_later = position > *latest;
        if is_later {
            *latest = position;
        }
        is_later
    });
}

impl CommitNotifier {
    /// Returns a notifier whose latest position is [`Position::ZERO`].
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Senders { all: watch::Sender::new(Position::ZERO), narrowed: Mutex::default() }))
    }

    /// Wakes every subscriber, unless a notification with this position or a later one was sent before.
    pub fn notify(&self, position: Position) {
        send(&self.0.all, position);
        self.0.narrowed().values().for_each(|narrowed| send(&narrowed.sender, position));
    }

    /// Wakes the subscribers of these threads, of their tenants and of the whole store. A store that knows every thread in which
    /// its commits up to this position have a change calls it in place of [`notify`](Self::notify).
    pub fn notify_threads<'a>(
        &self,
        position: Position,
        threads: impl IntoIterator<Item = (&'a TenantId, &'a ThreadId)>,
    ) {
        send(&self.0.all, position);
        let narrowed = self.0.narrowed();
        for (tenant, thread) in threads {
            for scope in [(tenant.clone(), None), (tenant.clone(), Some(thread.clone()))] {
                if let Some(narrowed) = narrowed.get(&scope) {
                    send(&narrowed.sender, position);
                }
            }
        }
    }

    /// Wakes every subscriber without a position, because another process may have committed.
    pub fn wake(&self) {
        self.0.all.send_modify(|_| {});
        self.0.narrowed().values().for_each(|narrowed| narrowed.sender.send_modify(|_| {}));
    }

    /// Whether there are subscribers now.
    #[must_use]
    pub fn has_subscribers(&self) -> bool {
        self.0.all.receiver_count() > 0 || self.has_narrowed_subscribers()
    }

    /// Whether there are subscribers to one thread or one tenant now. Without them, it does not matter which threads a commit
    /// changes.
    #[must_use]
    pub fn has_narrowed_subscribers(&self) -> bool {
        !self.0.narrowed().is_empty()
    }

    /// Subscribes to the notifications from now on.
    #[must_use]
    pub fn subscribe(&self) -> CommitNotifications {
        let (receiver, senders) = (self.0.all.subscribe(), Arc::downgrade(&self.0));
        CommitNotifications { receiver, senders, scope: None }
    }

    /// The latest position that was sent.
    #[must_use]
    pub fn latest(&self) -> Position {
        *self.0.all.borrow()
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
pub struct CommitNotifications {
    receiver: watch::Receiver<Position>,
    senders: Weak<Senders>,
    /// The scope in whose sender this subscriber counts.
    scope: Option<NarrowScope>,
}

impl CommitNotifications {
    /// Waits for an unseen notification, and returns the latest position. `None` once every notifier is dropped.
    ///
    /// # Cancel safety
    /// A notification that arrives at a dropped call is seen by the next call.
    pub async fn changed(&mut self) -> Option<Position> {
        self.receiver.changed().await.ok()?;
        Some(*self.receiver.borrow_and_update())
    }

    /// The latest position, seen or not. It is [`Position::ZERO`] before the first notification.
    #[must_use]
    pub fn latest(&self) -> Position {
        *self.receiver.borrow()
    }

    /// Marks all notifications so far as seen. A reader calls it before a read, so that it does not miss a commit during the
    /// read.
    pub fn mark_seen(&mut self) {
        self.receiver.mark_unchanged();
    }

    /// Returns the notifications from now on of the commits that may have changed this scope, for a reader of the changes of a
    /// thread or a tenant. So the commits of others cost it nothing. The first read after this call sees the commits before it.
    ///
    /// A store that does not know which threads a commit has changed still sends that notification to every subscriber.
    ///
    /// ```
    /// use throughline_core::{Position, TenantId, ThreadId, changes::{ChangeScope, CommitNotifier}};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), throughline_core::InvalidId> {
    /// let (notifier, tenant) = (CommitNotifier::new(), TenantId::default());
    /// let threads: [ThreadId; 2] = ["a".parse()?, "b".parse()?];
    /// let mut commits = notifier.subscribe().narrowed_to(&tenant, &ChangeScope::Thread(threads[1].clone()));
    /// notifier.notify_threads(Position::new(7), [(&tenant, &threads[0])]);
    /// notifier.notify_threads(Position::new(8), [(&tenant, &threads[1])]);
    /// assert_eq!(commits.changed().await, Some(Position::new(8)));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn narrowed_to(&self, tenant: &TenantId, scope: &ChangeScope) -> Self {
        let Some(senders) = self.senders.upgrade() else { return self.clone() };
        let scope = match scope {
            ChangeScope::Store => None,
            ChangeScope::Tenant => Some((tenant.clone(), None)),
            ChangeScope::Thread(thread) => Some((tenant.clone(), Some(thread.clone()))),
        };
        let receiver = match &scope {
            None => senders.all.subscribe(),
            Some(scope) => {
                let mut all = senders.narrowed();
                let narrowed = all.entry(scope.clone()).or_insert_with(|| Narrowed {
                    sender: watch::Sender::new(*senders.all.borrow()),
                    subscribers: 0,
                });
                narrowed.subscribers += 1;
                narrowed.sender.subscribe()
            }
        };
        Self { receiver, senders: Weak::clone(&self.senders), scope }
    }

    /// Changes the number of subscribers of the scope.
    fn count(&self, change: impl FnOnce(&mut usize)) {
        if let (Some(scope), Some(senders)) = (&self.scope, self.senders.upgrade()) {
            let mut all = senders.narrowed();
            if let Some(narrowed) = all.get_mut(scope) {
                change(&mut narrowed.subscribers);
                if narrowed.subscribers == 0 {
                    all.remove(scope);
                }
            }
        }
    }
}

impl Clone for CommitNotifications {
    fn clone(&self) -> Self {
        self.count(|subscribers| *subscribers += 1);
        let Self { receiver, senders, scope } = self;
        Self { receiver: receiver.clone(), senders: Weak::clone(senders), scope: scope.clone() }
    }
}

impl Drop for CommitNotifications {
    fn drop(&mut self) {
        self.count(|subscribers| *subscribers -= 1);
    }
}

impl fmt::Debug for CommitNotifications {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CommitNotifications").field(&self.latest()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has_changed(commits: &mut CommitNotifications) -> bool {
        let has_changed = commits.receiver.has_changed().unwrap();
        commits.mark_seen();
        has_changed
    }

    #[test]
    fn a_commit_wakes_the_subscribers_of_its_threads_of_their_tenants_and_of_the_store() {
        let notifier = CommitNotifier::new();
        let [alice, bob]: [TenantId; 2] = ["alice", "bob"].map(|name| name.parse().unwrap());
        let [t, u]: [ThreadId; 2] = ["t", "u"].map(|name| name.parse().unwrap());
        let store = notifier.subscribe();
        let mut all = [
            store.clone(),
            store.narrowed_to(&alice, &ChangeScope::Store),
            store.narrowed_to(&alice, &ChangeScope::Tenant),
            store.narrowed_to(&alice, &ChangeScope::Thread(t.clone())),
            store.narrowed_to(&alice, &ChangeScope::Thread(u.clone())),
            store.narrowed_to(&bob, &ChangeScope::Tenant),
            store.narrowed_to(&bob, &ChangeScope::Thread(t.clone())),
        ];
        let mut woken = || all.each_mut().map(has_changed);
        notifier.notify_threads(Position::new(1), [(&alice, &t)]);
        assert_eq!(woken(), [true, true, true, true, false, false, false]);
        notifier.notify_threads(Position::new(2), [(&alice, &u), (&bob, &t)]);
        assert_eq!(woken(), [true, true, true, false, true, true, true]);
        notifier.notify(Position::new(3));
        assert_eq!(woken(), [true; 7]);
        notifier.notify(Position::new(3));
        assert_eq!(woken(), [false; 7], "the position was sent before");
        notifier.wake();
        assert_eq!(woken(), [true; 7]);
        drop(notifier);
        assert!(all.iter().all(|commits| commits.receiver.has_changed().is_err()));
    }

    #[test]
    fn the_last_subscriber_of_a_scope_removes_it() {
        let (notifier, tenant) = (CommitNotifier::new(), TenantId::default());
        let store = notifier.subscribe();
        let one = store.narrowed_to(&tenant, &ChangeScope::Tenant);
        let other = one.clone();
        let third = other.narrowed_to(&tenant, &ChangeScope::Tenant);
        drop((store, one, other));
        assert!(notifier.has_subscribers() && notifier.has_narrowed_subscribers());
        drop(third);
        assert!(!notifier.has_subscribers() && !notifier.has_narrowed_subscribers());
    }
}
