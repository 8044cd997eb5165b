use std::{future::Future, pin::Pin};

use throughline_core::{
    BoxError, Message, Persistence,
    changes::{Change, ChangeKind, ChangeScope},
};

/// A consumer of the change feed, such as an index, a mirror or a notification.
///
/// # Contract
/// - The runner delivers each change **at least once**. After a crash, or while another process runs the same consumer, it
///   delivers some changes again. The work must be idempotent: it should depend on the current message, not on the number of
///   deliveries.
/// - The changes of one thread arrive in order, one after the other. Changes of different threads arrive concurrently.
/// - The consumer must not block, because it runs on the runtime of the host. Use `tokio::task::spawn_blocking` for blocking
///   work.
///
/// # Cancel safety
/// The runner drops [`handle`](Self::handle) at an `.await` after its time limit, and when the runner itself is dropped. It then
/// calls it again with the same change.
///
/// # Failure
/// An error, a panic and a timeout have the same effect: the runner tries the change again after a wait. After the last attempt
/// it puts the change into the quarantine of the consumer. Failures never affect the writes of the host.
pub trait Consumer: Send + Sync + 'static {
    /// The name of the cursor. It must be constant and unique among the consumers of a tenant.
    fn name(&self) -> &str;

    /// The changes to deliver.
    fn scope(&self) -> ChangeScope {
        ChangeScope::Tenant
    }

    /// Whether the consumer is enabled. While it is disabled, the runner delivers only removals, so that no earlier data of the
    /// consumer remains: see [`Event::takes_away`]. The consumer never gets the other changes of that time.
    fn is_on(&self) -> bool {
        true
    }

    /// Processes one change.
    fn handle(&self, event: Event) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Rebuilds all data of the consumer from the store. The runner calls it if the store no longer keeps some changes that the
    /// consumer has not processed. Changes during the rebuild are delivered afterwards.
    fn rebuild(&self, db: &Persistence) -> impl Future<Output = Result<Rebuilt, BoxError>> + Send {
        let _ = db;
        std::future::ready(Ok(Rebuilt::Impossible))
    }
}

/// The result of [`Consumer::rebuild`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Rebuilt {
    /// The data matches the store.
    Whole,
    /// The consumer cannot rebuild its data. It stops, and its status states so.
    Impossible,
}

/// A change event with its message.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Event {
    /// The change.
    pub change: Change,
    /// The **current** message, which can be newer than the change. `None` if it was deleted, or the change addresses no message.
    /// Never an open message.
    pub message: Option<Message>,
}

impl Event {
    /// Whether the change removes a message, a part of a thread, or a whole thread.
    #[must_use]
    pub const fn takes_away(&self) -> bool {
        takes_away(&self.change.kind)
    }
}

pub(super) const fn takes_away(kind: &ChangeKind) -> bool {
    matches!(
        kind,
        ChangeKind::Deleted(_)
            | ChangeKind::ThreadCleared { .. }
            | ChangeKind::ThreadPruned { .. }
            | ChangeKind::ThreadDeleted
    )
}

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A consumer with an erased type.
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
        // In its own block, so that a panic before the first `.await` belongs to the future.
        Box::pin(async move { Consumer::handle(self, event).await })
    }

    fn rebuild<'a>(&'a self, db: &'a Persistence) -> BoxFuture<'a, Result<Rebuilt, BoxError>> {
        Box::pin(async move { Consumer::rebuild(self, db).await })
    }
}

/// Allows a host to keep a reference to its consumer.
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
