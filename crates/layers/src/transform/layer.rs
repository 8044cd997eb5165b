use std::{fmt, sync::Arc, time::Duration};

use tower_layer::Layer;

use super::{TextStream, Transform, TransformService, open_messages::OpenMessages};
use throughline_core::{
    PersistError,
    pipeline::{Described, PersistService, Phase, SiteSpec},
};

/// Runs a [`Transform`] as a layer. See the [module](super).
///
/// A clone shares the transform, but not the state of open messages: a layer belongs to one pipeline.
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

/// The state that all clones of the service share.
pub(super) struct Shared<T: Transform> {
    pub(super) transform: Arc<T>,
    pub(super) open: Arc<OpenMessages<T::Stream>>,
    pub(super) most_held: usize,
}

impl<T: Transform> TransformLayer<T> {
    /// Creates the layer with this transform.
    #[must_use]
    pub fn new(transform: T) -> Self {
        Self {
            transform: Arc::new(transform),
            open_messages: 4096,
            idle: Duration::from_secs(3600),
            most_held: 64 << 10,
        }
    }

    /// Sets the most messages that are open at one time, at least 1. The default is 4,096.
    ///
    /// Beyond this number, the layer first forgets messages without buffered text: their next append costs a read. It
    /// begins with the least recently changed message of the tenant with the most messages. It never drops buffered
    /// text silently:
    ///
    /// - If it buffers text of this many messages, a call for one more message is refused as
    ///   [`Busy`](throughline_core::ErrorKind::Busy).
    /// - A tenant below its equal share of the messages is not refused. The layer then drops buffered text of a tenant
    ///   above its share.
    /// - After buffered text was dropped, calls that append to the message or finish it are refused as
    ///   [`Conflict`](throughline_core::ErrorKind::Conflict), until the message is read after a refusal. Calls that
    ///   replace its content, or abandon it without further text, are not refused.
    /// - A call that changes no content, such as the renewal of a lease, is never refused as `Busy`.
    #[must_use]
    pub const fn open_messages(mut self, most: usize) -> Self {
        self.open_messages = most;
        self
    }

    /// Sets the idle time of open messages. At the limit of open messages, the layer first forgets those that no call
    /// changed for this long, including their buffered text. The default is an hour.
    #[must_use]
    pub const fn idle(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    /// Sets the most buffered bytes of one message. A call that would exceed it is refused as
    /// [`TooLarge`](throughline_core::ErrorKind::TooLarge). The default is 64 KiB.
    #[must_use]
    pub const fn max_buffered_bytes(mut self, bytes: usize) -> Self {
        self.most_held = bytes;
        self
    }

    /// Returns the transform.
    #[must_use]
    pub fn transform(&self) -> &T {
        &self.transform
    }
}

#[cfg(feature = "redact")]
impl<T: Transform + Clone> TransformLayer<T> {
    /// Returns the transform of this layer; a clone of the layer keeps its own.
    pub(crate) fn transform_mut(&mut self) -> &mut T {
        Arc::make_mut(&mut self.transform)
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
