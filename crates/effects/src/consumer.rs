use std::{future::Future, pin::Pin};

use throughline_core::{
    BoxError, Message, Persistence,
    changes::{Change, ChangeKind, ChangeScope},
};

/// Somebody who follows the changes and does something about each: an index, a mirror, a notification.
///
/// # Contract
/// - It is told of each change **at least once**: after a crash, or beside another process that runs the same consumer, it
///   is told of some once more. What it does has to come out the same, so it should go by the message as it is, not by how often
///   it was told.
/// - The changes of one thread come one after the other, in their order. Those of several threads come at once.
/// - It does not block: the runtime is the host's. What blocks belongs into `tokio::task::spawn_blocking`.
///
/// # Cancel safety
/// [`handle`](Self::handle) is dropped at an `.await` when its time is up or the runner is dropped, and is called again with
/// the same change.
///
/// # Failure
/// An error, a panic and a call that takes too long are the same: it is tried again after a while, and after so many attempts
/// the change is passed over and stands on a list. Nothing of it reaches the host's writes.
pub trait Consumer: Send + Sync + 'static {
    /// Whose cursor it is: unique among the consumers of a tenant, and always the same.
    fn name(&self) -> &str;

    /// Which changes it is told of.
    fn scope(&self) -> ChangeScope {
        ChangeScope::Tenant
    }

    /// Whether what it is for is switched on. While it is not, it is told of nothing but what goes away, so that nothing is
    /// left behind of what it did before: see [`Event::takes_away`]. It misses the rest for good.
    fn is_on(&self) -> bool {
        true
    }

    /// Does something about one change.
    fn handle(&self, event: Event) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Makes everything again from what the store has now. It is called when changes that the consumer has not seen are not
    /// kept any more. Changes that come meanwhile are told afterwards.
    fn rebuild(&self, db: &Persistence) -> impl Future<Output = Result<Rebuilt, BoxError>> + Send {
        let _ = db;
        std::future::ready(Ok(Rebuilt::Impossible))
    }
}

/// What became of [`Consumer::rebuild`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Rebuilt {
    /// It is as the store is.
    Whole,
    /// It cannot be made again. The consumer stops, and its status says so.
    Impossible,
}

/// A change, and the message that it is about.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Event {
    /// What was changed.
    pub change: Change,
    /// The message as it is **now**, which may be later than the change; nothing where it is gone, or where the change is
    /// about none. Never one that is still being written.
    pub message: Option<Message>,
}

impl Event {
    /// Whether this takes something away: a message, a part of a thread, or all of it.
    #[must_use]
    pub const fn takes_away(&self) -> bool {
        takes_away(&self.change.what)
    }
}

pub(super) const fn takes_away(what: &ChangeKind) -> bool {
    matches!(
        what,
        ChangeKind::Deleted(_)
            | ChangeKind::ThreadCleared { .. }
            | ChangeKind::ThreadPruned { .. }
            | ChangeKind::ThreadDeleted
    )
}

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A [`Consumer`] of any type.
pub(super) trait AnyConsumer: Send + Sync {
    fn scope(&self) -> ChangeScope;
    fn is_on(&self) -> bool;
    fn handle(&self, event: Event) -> BoxFuture<'_, Result<(), BoxError>>;
    fn rebuild<'a>(&'a self, db: &'a Persistence) -> BoxFuture<'a, Result<Rebuilt, BoxError>>;
}

impl<C: Consumer> AnyConsumer for C {
    fn scope(&self) -> ChangeScope {
        Consumer::scope(self)
    }

    fn is_on(&self) -> bool {
        Consumer::is_on(self)
    }

    fn handle(&self, event: Event) -> BoxFuture<'_, Result<(), BoxError>> {
        // In a block of its own, so that a panic before the first `.await` is one of the future.
        Box::pin(async move { Consumer::handle(self, event).await })
    }

    fn rebuild<'a>(&'a self, db: &'a Persistence) -> BoxFuture<'a, Result<Rebuilt, BoxError>> {
        Box::pin(async move { Consumer::rebuild(self, db).await })
    }
}

/// A consumer that a host keeps a hand on.
impl<C: Consumer> Consumer for std::sync::Arc<C> {
    fn name(&self) -> &str {
        C::name(self)
    }

    fn scope(&self) -> ChangeScope {
        C::scope(self)
    }

    fn is_on(&self) -> bool {
        C::is_on(self)
    }

    fn handle(&self, event: Event) -> impl Future<Output = Result<(), BoxError>> + Send {
        C::handle(self, event)
    }

    fn rebuild(&self, db: &Persistence) -> impl Future<Output = Result<Rebuilt, BoxError>> + Send {
        C::rebuild(self, db)
    }
}
