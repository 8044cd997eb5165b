use std::{fmt, sync::Arc};

use tower_layer::Layer;

use super::{ChaosCounts, ChaosService, Rule, counts::Plan};
use throughline_core::pipeline::{Described, Phase, SiteSpec};

/// Makes calls fail, wait, hang and panic, by rules and from a seed: for tests. See the [module](super).
///
/// Clones share the counts, and which call is the next.
#[derive(Clone)]
pub struct ChaosLayer {
    plan: Arc<Plan>,
}

impl ChaosLayer {
    /// No rules yet, and the seed that probabilities are drawn from.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self { plan: Arc::new(Plan::new(seed, [])) }
    }

    /// Adds a rule, after those that there are; of several that fire at a call, the first one counts. Begins counting anew.
    ///
    /// # Panics
    /// When there is a rule of this name.
    #[must_use]
    pub fn rule(self, rule: Rule) -> Self {
        let name = &rule.name;
        assert!(self.plan.rules().all(|other| other.name != *name), "two rules are named `{name}`");
        let rules = self.plan.rules().cloned().chain([rule]);
        Self { plan: Arc::new(Plan::new(self.plan.seed(), rules)) }
    }

    /// How often each rule has fired: a handle that goes on telling, to be taken before the layer is given away.
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
        SiteSpec::new("chaos", Phase::Route).with_rank(90).with_note("not for production")
    }
}

impl<S> Layer<S> for ChaosLayer {
    type Service = ChaosService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ChaosService::new(inner, Arc::clone(&self.plan))
    }
}
