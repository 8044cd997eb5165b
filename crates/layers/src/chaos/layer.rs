use std::{fmt, sync::Arc};

use tower_layer::Layer;

use super::{ChaosCounts, ChaosService, Rule, counts::Plan};
use throughline_core::pipeline::{Described, Phase, SiteSpec};

/// Injects errors, delays, hangs and panics by rules and from a seed, for tests. See the [module](super).
///
/// Clones share the counts and the numbering of calls.
#[derive(Clone)]
pub struct ChaosLayer {
    plan: Arc<Plan>,
}

impl ChaosLayer {
    /// Creates the layer without rules; probabilities use this seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self { plan: Arc::new(Plan::new(seed, [])) }
    }

    /// Adds a rule after the existing ones. When several rules match a call, the first one fires. All counts restart at
    /// zero.
    ///
    /// # Panics
    /// Panics if the layer has a rule of this name.
    #[must_use]
    pub fn rule(self, rule: Rule) -> Self {
        let name = &rule.name;
        assert!(self.plan.rules().all(|other| other.name != *name), "two rules are named `{name}`");
        let rules = self.plan.rules().cloned().chain([rule]);
        Self { plan: Arc::new(Plan::new(self.plan.seed(), rules)) }
    }

    /// Returns a handle to the counts of the rules. Take it before the pipeline takes the layer.
    #[must_use]
    pub fn counts(&self) -> ChaosCounts {
        ChaosCounts(Arc::clone(&self.plan))
    }
}

impl fmt::Debug for ChaosLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChaosLayer").field("seed", &self.plan.seed()).field("fired", &self.counts()).finish()
    }
}

impl Described for ChaosLayer {
    fn site(&self) -> SiteSpec {
        SiteSpec::new("chaos", Phase::Route).with_rank(90).with_remark("not for production")
    }
}

impl<S> Layer<S> for ChaosLayer {
    type Service = ChaosService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ChaosService::new(inner, Arc::clone(&self.plan))
    }
}
