use std::{fmt, sync::Arc};

use tower_layer::Layer;

use super::{Quota, QuotaService, Stored, tenants::Tenants};
use throughline_core::{
    TenantId,
    pipeline::{Described, Phase, SiteSpec},
};

type Quotas = Arc<dyn Fn(&TenantId) -> Quota + Send + Sync>;
type Counts = Arc<dyn Fn(&TenantId) -> Stored + Send + Sync>;

/// Limits the rate and the stored bytes of each tenant. See the [module](super).
///
/// A clone shares the buckets of the tenants.
#[derive(Clone)]
pub struct QuotaLayer {
    pub(super) quotas: Quotas,
    pub(super) stored: Option<Counts>,
    pub(super) tenants: Arc<Tenants>,
}

/// The default number of remembered tenants.
const TENANTS: usize = 65_536;

impl QuotaLayer {
    /// Applies the same quota to every tenant.
    #[must_use]
    pub fn new(quota: Quota) -> Self {
        Self::by_tenant(move |_| quota)
    }

    /// Applies the quota that `quotas` returns for a tenant. The layer calls it for every call, so it must be fast.
    #[must_use]
    pub fn by_tenant(quotas: impl Fn(&TenantId) -> Quota + Send + Sync + 'static) -> Self {
        Self { quotas: Arc::new(quotas), stored: None, tenants: Arc::new(Tenants::new(TENANTS)) }
    }

    /// Refuses writes that [grow](throughline_core::PersistArgs::grows) the store beyond the tenant's stored bytes. The
    /// layer calls `stored` for every such write, so it must be fast. The limit is as exact as the figures of the host.
    #[must_use]
    pub fn stored(mut self, stored: impl Fn(&TenantId) -> Stored + Send + Sync + 'static) -> Self {
        self.stored = Some(Arc::new(stored));
        self
    }

    /// Sets the most tenants that the layer remembers, each with less than 400 bytes; the default is 65 536, the
    /// minimum 1. The layer forgets a tenant whose buckets are full again. While this many tenants are busy, it refuses
    /// others.
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
