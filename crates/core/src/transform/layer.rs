use std::{fmt, sync::Arc, time::Duration};

use tower_layer::Layer;

use super::{Transform, TransformService, open_messages::OpenMessages};
use crate::{
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
    pub(super) open: OpenMessages<T::Stream>,
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

    /// So many messages may be being written at one time, at least 1. Where there are more, what was held back of the least recently
    /// continued one is lost. 4,096 by default.
    #[must_use]
    pub const fn open_messages(mut self, most: usize) -> Self {
        self.open_messages = most;
        self
    }

    /// Once there are as many open messages as may be, those are forgotten first that nothing was added to for so long. An hour by default.
    #[must_use]
    pub const fn idle(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    /// At most so many bytes of one message are held back. A call that would hold back more is refused as
    /// [`TooLarge`](crate::ErrorKind::TooLarge). 64 KiB by default.
    #[must_use]
    pub const fn hold_back_at_most(mut self, bytes: usize) -> Self {
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
                open: OpenMessages::new(self.open_messages, self.idle),
                most_held: self.most_held,
            }),
        )
    }
}
