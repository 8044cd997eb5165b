use std::sync::Arc;

use tower_layer::Layer;

use super::{AuditKey, AuditService};
use throughline_core::{
    audit::RejectedCallBudget,
    pipeline::{Described, Phase, SiteSpec},
};

/// Has the store keep a log of who did what. See the [module](super).
///
/// It needs a backend that claims [`Capabilities::audit`](throughline_core::Capabilities::audit); over another one the pipeline is not built.
#[derive(Debug, Clone)]
pub struct AuditLayer {
    key: AuditKey,
    budget: RejectedCallBudget,
}

impl AuditLayer {
    /// A log whose entries are sealed with this key, the same for as long as the store is used.
    #[must_use]
    pub const fn new(key: AuditKey) -> Self {
        Self { key, budget: RejectedCallBudget::new() }
    }

    /// How much of the log records of rejected calls may take: [`RejectedCallBudget::new`] unless it is said.
    #[must_use]
    pub const fn rejected_calls(mut self, budget: RejectedCallBudget) -> Self {
        self.budget = budget;
        self
    }
}

impl Described for AuditLayer {
    fn site(&self) -> SiteSpec {
        SiteSpec::new("audit", Phase::Observe).with_audit(Arc::new(self.key.clone()), self.budget)
    }
}

impl<S> Layer<S> for AuditLayer {
    type Service = AuditService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        AuditService::new(inner, self.key.clone())
    }
}
