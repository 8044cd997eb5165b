//! Observers: code that receives every completed call and cannot fail or delay one.

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

/// A receiver of completed calls. Every closure over `&Event` implements it.
///
/// The observer runs on its own thread after the call, so that it can block, fail or panic without effect on the call. At most
/// 4,096 events wait for it; further events are dropped and counted. Code that must not miss a change is a consumer of the change
/// feed, not an observer.
pub trait Observe: Send + 'static {
    /// Receives a completed call.
    ///
    /// # Errors
    /// The layer counts a failure, and logs the first failure of each operation. A failure has no other effect.
    fn observe(&mut self, event: &Event) -> Result<(), BoxError>;
}

impl<F: FnMut(&Event) + Send + 'static> Observe for F {
    fn observe(&mut self, event: &Event) -> Result<(), BoxError> {
        self(event);
        Ok(())
    }
}
