use std::{sync::Arc, time::Duration};

use backon::ExponentialBuilder;
use tower_layer::Layer;

use super::{RetryService, budget::Budget};
use throughline_core::pipeline::{Described, Phase, SiteSpec};

/// Repeats calls with transient errors. See the [module](super).
///
/// A clone shares the budget.
#[derive(Debug, Clone)]
pub struct RetryLayer {
    pub(super) attempts: u32,
    pub(super) backoff: ExponentialBuilder,
    pub(super) budget: Arc<Budget>,
}

impl RetryLayer {
    /// Creates the layer with its defaults: up to 4 attempts, 10 ms to 1 s apart, and a budget of a fifth of all calls
    /// with 100 at once.
    #[must_use]
    pub fn new() -> Self {
        Self {
            attempts: 4,
            backoff: ExponentialBuilder::new().with_jitter(),
            budget: Arc::new(Budget::new(20, 100)),
        }
        .backoff(Duration::from_millis(10), Duration::from_secs(1))
    }

    /// Sets the most attempts of one call, including the first; at least 1.
    #[must_use]
    pub const fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = if attempts == 0 { 1 } else { attempts };
        self
    }

    /// Sets the shortest and the longest wait between two attempts, before jitter.
    #[must_use]
    pub fn backoff(mut self, shortest: Duration, longest: Duration) -> Self {
        self.backoff = self.backoff.with_min_delay(shortest).with_max_delay(longest).without_max_times();
        self
    }

    /// Sets the budget of repetitions: `percent` of all calls on average, and `reserve` at once.
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
