use std::{fmt, sync::Arc};

use tower_layer::Layer;

use super::{Quota, QuotaService, Stored, tenants::Tenants};
use throughline_core::{
    TenantId,
    pipeline::{Described, Phase, SiteSpec},
};

type Quotas = Arc<dyn Fn(&TenantId) -> Quota + Send + Sync>;
type Counts = Arc<dyn Fn(&TenantId) -> Stored + Send + Sync>;

/// Keeps each tenant to what it may do. See the [module](super).
///
/// A clone shares what the tenants have left.
#[derive(Clone)]
pub struct QuotaLayer {
    pub(super) quotas: Quotas,
    pub(super) stored: Option<Counts>,
    pub(super) tenants: Arc<Tenants>,
}

/// How many tenants are remembered.
const TENANTS: usize = 65_536;

impl QuotaLayer {
    /// The same quota for every tenant.
    #[must_use]
    pub fn new(quota: Quota) -> Self {
        Self::by_tenant(move |_| quota)
    }

    /// The quota of each tenant, asked at every call: it has to be at hand.
    #[must_use]
    pub fn by_tenant(quotas: impl Fn(&TenantId) -> Quota + Send + Sync + 'static) -> Self {
        Self { quotas: Arc::new(quotas), stored: None, tenants: Arc::new(Tenants::new(TENANTS)) }
    }

    /// Refuses what [grows](throughline_core::PersistArgs::grows) the store beyond what the tenant may store. The figures are the
    /// host's, asked at every such call: they have to be at hand, and are as exact as the host keeps them.
    #[must_use]
    pub fn stored(mut self, stored: impl Fn(&TenantId) -> Stored + Send + Sync + 'static) -> Self {
        self.stored = Some(Arc::new(stored));
        self
    }

    /// How many tenants are remembered at most, each with less than 400 bytes; 65 536 unless said otherwise, and at least 1.
    /// A tenant who has been quiet until its quota was full again is forgotten. While so many others are busy at once, further
    /// tenants are refused.
    #[must_use]
    pub fn tenants(mut self, max: usize) -> Self {
        self.tenants = Arc::new(Tenants::new(max));
        self
    }
}

impl fmt::Debug for QuotaLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuotaLayer").finish_non_exhaustive()
    }
}

impl Described for QuotaLayer {
    fn site(&self) -> SiteSpec {
        SiteSpec::new("quota", Phase::Admit).with_rank(20)
    }
}

impl<S> Layer<S> for QuotaLayer {
    type Service = QuotaService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        QuotaService::new(inner, self.clone())
    }
}
