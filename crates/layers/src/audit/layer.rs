use std::sync::Arc;

use tower_layer::Layer;

use super::{AuditKey, AuditService};
use throughline_core::{
    audit::RejectedCallBudget,
    pipeline::{Described, Phase, SiteSpec},
};

/// Keeps an audit log in the store. See the [module](super).
///
/// It needs a backend that claims [`Capabilities::audit`](throughline_core::Capabilities::audit); a pipeline over
/// another backend is not built.
#[derive(Debug, Clone)]
pub struct AuditLayer {
    key: AuditKey,
    budget: RejectedCallBudget,
}

impl AuditLayer {
    /// Creates the layer with the key of the log, which must stay the same for the life of the store.
    #[must_use]
    pub const fn new(key: AuditKey) -> Self {
        Self { key, budget: RejectedCallBudget::new() }
    }

    /// Sets the budget of the rejected-call records; the default is [`RejectedCallBudget::new`].
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
