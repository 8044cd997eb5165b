use std::{sync::Arc, time::Duration};

use tower_layer::Layer;

use super::{SlowLogService, rate_limit::RateLimit};
use throughline_core::{
    OpKind,
    pipeline::{Described, Phase, SiteSpec},
};

/// Logs a warning for each slow call. See the [module](super).
///
/// Clones share the count of lines.
#[derive(Debug, Clone)]
pub struct SlowLogLayer {
    thresholds: [Duration; OpKind::ALL.len()],
    rate_limit: Arc<RateLimit>,
}

impl SlowLogLayer {
    /// Logs calls that take at least this long, at most ten in ten seconds.
    #[must_use]
    pub fn new(threshold: Duration) -> Self {
        let rate_limit = Arc::new(RateLimit::new(10, Duration::from_secs(10)));
        Self { thresholds: [threshold; OpKind::ALL.len()], rate_limit }
    }

    /// Sets the threshold of one kind of operation.
    #[must_use]
    pub const fn threshold(mut self, kind: OpKind, threshold: Duration) -> Self {
        self.thresholds[kind as usize] = threshold;
        self
    }

    /// Sets the most lines in each period; further lines are suppressed and counted. All counts restart at zero.
    #[must_use]
    pub fn at_most(mut self, lines: u32, per: Duration) -> Self {
        self.rate_limit = Arc::new(RateLimit::new(lines, per));
        self
    }

    /// Returns the number of suppressed lines.
    #[must_use]
    pub fn suppressed(&self) -> u64 {
        self.rate_limit.suppressed()
    }

    pub(super) const fn threshold_of(&self, kind: OpKind) -> Duration {
        self.thresholds[kind as usize]
    }

    pub(super) fn rate_limit(&self) -> &RateLimit {
        &self.rate_limit
    }
}

impl Described for SlowLogLayer {
    fn site(&self) -> SiteSpec {
        SiteSpec::new("slow-log", Phase::Observe)
    }
}

impl<S> Layer<S> for SlowLogLayer {
    type Service = SlowLogService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        SlowLogService::new(inner, Arc::new(self.clone()))
    }
}
