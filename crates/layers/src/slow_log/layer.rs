use std::{sync::Arc, time::Duration};

use tower_layer::Layer;

use super::{SlowLogService, pace::Pace};
use throughline_core::{
    OpKind,
    pipeline::{Described, Phase, SiteSpec},
};

/// Warns of calls that took long. See the [module](super).
///
/// Clones share the count of lines.
#[derive(Debug, Clone)]
pub struct SlowLogLayer {
    thresholds: [Duration; OpKind::ALL.len()],
    pace: Arc<Pace>,
}

impl SlowLogLayer {
    /// Warns of every call that takes this long or longer, at most ten times in ten seconds.
    #[must_use]
    pub fn new(threshold: Duration) -> Self {
        let pace = Arc::new(Pace::new(10, Duration::from_secs(10)));
        Self { thresholds: [threshold; OpKind::ALL.len()], pace }
    }

    /// The threshold of one kind of operation.
    #[must_use]
    pub const fn threshold(mut self, kind: OpKind, threshold: Duration) -> Self {
        self.thresholds[kind as usize] = threshold;
        self
    }

    /// The most lines in each stretch of time; what is beyond is counted. Begins counting anew.
    #[must_use]
    pub fn at_most(mut self, lines: u32, per: Duration) -> Self {
        self.pace = Arc::new(Pace::new(lines, per));
        self
    }

    /// How many lines were held back so far.
    #[must_use]
    pub fn suppressed(&self) -> u64 {
        self.pace.suppressed()
    }

    pub(super) const fn threshold_of(&self, kind: OpKind) -> Duration {
        self.thresholds[kind as usize]
    }

    pub(super) fn pace(&self) -> &Pace {
        &self.pace
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
