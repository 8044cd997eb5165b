use std::time::Duration;

use tower_layer::Layer;

use super::TimeoutService;
use throughline_core::pipeline::{Described, Phase, SiteSpec};

/// Ends attempts that take longer than a limit. See the [module](super).
#[derive(Debug, Clone, Copy)]
pub struct TimeoutLayer {
    limit: Duration,
}

impl TimeoutLayer {
    /// Sets the limit of every attempt.
    #[must_use]
    pub const fn new(limit: Duration) -> Self {
        Self { limit }
    }
}

impl Described for TimeoutLayer {
    fn site(&self) -> SiteSpec {
        SiteSpec::new("timeout", Phase::Route).with_rank(20)
    }
}

impl<S> Layer<S> for TimeoutLayer {
    type Service = TimeoutService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        TimeoutService::new(inner, self.limit)
    }
}
