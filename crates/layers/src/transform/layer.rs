use std::{fmt, sync::Arc, time::Duration};

use tower_layer::Layer;

use super::{TextStream, Transform, TransformService, open_messages::OpenMessages};
use throughline_core::{
    PersistError,
    pipeline::{Described, PersistService, Phase, SiteSpec},
};

/// Runs a [`Transform`] as a layer. See the [module](super).
///
/// A clone shares the transform, and not what is known of open messages: a layer is in one pipeline.
pub struct TransformLayer<T> {
    transform: Arc<T>,
    open_messages: usize,
    idle: Duration,
    most_held: usize,
}

impl<T> Clone for TransformLayer<T> {
    fn clone(&self) -> Self {
        Self { transform: Arc::clone(&self.transform), ..*self }
    }
}

/// What all clones of the service share.
pub(super) struct Shared<T: Transform> {
    pub(super) transform: Arc<T>,
    pub(super) open: Arc<OpenMessages<T::Stream>>,
    pub(super) most_held: usize,
}

impl<T: Transform> TransformLayer<T> {
    /// With this transform.
    #[must_use]
    pub fn new(transform: T) -> Self {
        Self {
            transform: Arc::new(transform),
            open_messages: 4096,
            idle: Duration::from_secs(3600),
            most_held: 64 << 10,
        }
    }

    /// The most messages that are open at one time, at least 1. 4,096 by default.
    ///
    /// Where there are more, the layer forgets those of which it holds back nothing, the least recently continued of the tenant with the most
    /// messages first: their next append costs a read. It drops no held text silently:
    ///
    /// - Where it holds back text of so many messages, a call for one more message is refused as [`Busy`](throughline_core::ErrorKind::Busy).
    /// - A tenant with less than an equal share of the messages is not refused. The layer then drops the held text of a tenant with more than
    ///   its share.
    /// - Calls that would append to a message whose held text was dropped, or finish it, are refused as
    ///   [`Conflict`](throughline_core::ErrorKind::Conflict) until the message is read after a refusal. Calls that replace its content, or abandon it
    ///   without further text, are not refused.
    /// - A call that changes no content, as one that renews a lease or abandons the message, is never refused as `Busy`.
    #[must_use]
    pub const fn open_messages(mut self, most: usize) -> Self {
        self.open_messages = most;
        self
    }

    /// Once there are as many open messages as may be, those are forgotten first that no call changed for so long, with their held text.
    /// An hour by default.
    #[must_use]
    pub const fn idle(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    /// At most so many bytes of one message are held back. A call that would hold back more is refused as
    /// [`TooLarge`](throughline_core::ErrorKind::TooLarge). 64 KiB by default.
    #[must_use]
    pub const fn max_buffered_bytes(mut self, bytes: usize) -> Self {
        self.most_held = bytes;
        self
    }

    /// The transform.
    #[must_use]
    pub fn transform(&self) -> &T {
        &self.transform
    }
}

impl<T: Transform> fmt::Debug for TransformLayer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransformLayer").field("name", &self.transform.name()).finish_non_exhaustive()
    }
}

impl<T: Transform> Described for TransformLayer<T> {
    fn site(&self) -> SiteSpec {
        SiteSpec::new(self.transform.name().to_owned(), Phase::Transform)
    }
}

impl<S: PersistService<Error = PersistError>, T: Transform> Layer<S> for TransformLayer<T> {
    type Service = TransformService<S, T>;

    fn layer(&self, inner: S) -> Self::Service {
        TransformService::new(
            inner,
            Arc::new(Shared {
                transform: Arc::clone(&self.transform),
                open: Arc::new(OpenMessages::new(self.open_messages, self.idle, |stream| {
                    !TextStream::<T>::held(stream).is_empty()
                })),
                most_held: self.most_held,
            }),
        )
    }
}
