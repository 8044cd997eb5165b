use tower_layer::Layer;

use super::{Authority, ScopeService};
use throughline_core::pipeline::{Described, Phase, SiteSpec};

/// Refuses calls outside of their capability. See the [module](super).
///
/// A clone accepts the same authority, so it can be in several pipelines.
#[derive(Debug, Clone)]
pub struct ScopeLayer {
    authority: Authority,
}

impl ScopeLayer {
    /// Creates the layer with a new authority.
    #[must_use]
    pub fn new() -> Self {
        Self { authority: Authority::new() }
    }

    /// Returns the authority whose capabilities the layer accepts.
    #[must_use]
    pub fn authority(&self) -> Authority {
        self.authority.clone()
    }
}

impl Default for ScopeLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl Described for ScopeLayer {
    fn site(&self) -> SiteSpec {
        SiteSpec::new("scope", Phase::Guard).with_rank(10)
    }
}

impl<S> Layer<S> for ScopeLayer {
    type Service = ScopeService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ScopeService::new(inner, self.authority.clone())
    }
}
