use std::{sync::Arc, time::Duration};

use backon::ExponentialBuilder;
use tower_layer::Layer;

use super::{RetryService, budget::Budget};
use throughline_core::pipeline::{Described, Phase, SiteSpec};

/// Repeats what failed and passes with time. See the [module](super).
///
/// A clone shares the budget.
#[derive(Debug, Clone)]
pub struct RetryLayer {
    pub(super) attempts: u32,
    pub(super) backoff: ExponentialBuilder,
    pub(super) budget: Arc<Budget>,
}

impl RetryLayer {
    /// Up to 4 attempts, 10 ms to 1 s apart, at most a fifth of all calls repeated and 100 at once.
    #[must_use]
    pub fn new() -> Self {
        Self {
            attempts: 4,
            backoff: ExponentialBuilder::new().with_jitter(),
            budget: Arc::new(Budget::new(20, 100)),
        }
        .backoff(Duration::from_millis(10), Duration::from_secs(1))
    }

    /// The most attempts of one call, the first included; at least 1.
    #[must_use]
    pub const fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = if attempts == 0 { 1 } else { attempts };
        self
    }

    /// The shortest and the longest wait between two attempts, before jitter.
    #[must_use]
    pub fn backoff(mut self, shortest: Duration, longest: Duration) -> Self {
        self.backoff = self.backoff.with_min_delay(shortest).with_max_delay(longest).without_max_times();
        self
    }

    /// How many of all calls may be repeated: `percent` of them in the long run, and `reserve` at once.
    #[must_use]
    pub fn budget(mut self, percent: u32, reserve: u32) -> Self {
        self.budget = Arc::new(Budget::new(percent, reserve));
        self
    }
}

impl Default for RetryLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl Described for RetryLayer {
    fn site(&self) -> SiteSpec {
        SiteSpec::new("retry", Phase::Route).with_rank(10)
    }
}

impl<S> Layer<S> for RetryLayer {
    type Service = RetryService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RetryService::new(inner, self.clone())
    }
}
