//! Observers: told of every call, unable to hurt one.

mod event;
mod layer;
mod queue;
mod service;

pub use self::{
    event::{Event, Outcome},
    layer::{ObserveLayer, observe},
    queue::ObserverStats,
    service::{ObserveFuture, ObserveService},
};
use crate::BoxError;

/// Something that wants to know of every call: implemented by every closure over `&Event`.
///
/// It runs on a thread of its own, after the call, so that it can block, fail or panic without failing, delaying or
/// changing one. Up to 4 096 events wait for it; while it is behind by more, events are dropped and counted. What must
/// not be missed belongs to a consumer of the store's own order, not to an observer.
pub trait Observe: Send + 'static {
    /// Is told of a call that has ended.
    ///
    /// # Errors
    /// A failure is counted and, the first of each operation, logged. It has no other effect.
    fn observe(&mut self, event: &Event) -> Result<(), BoxError>;
}

impl<F: FnMut(&Event) + Send + 'static> Observe for F {
    fn observe(&mut self, event: &Event) -> Result<(), BoxError> {
        self(event);
        Ok(())
    }
}
