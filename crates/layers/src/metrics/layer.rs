use std::{fmt, sync::Arc};

use ::metrics::Recorder;
use tower_layer::Layer;

use super::{
    MetricsService,
    instruments::{Instruments, Source},
};
use throughline_core::{
    contain,
    pipeline::{Described, Phase, SiteSpec},
};

/// Counts and measures every call. See the [module](super).
#[derive(Clone)]
pub struct MetricsLayer {
    source: Source,
    tenants: Option<usize>,
}

impl MetricsLayer {
    /// Uses the global recorder, which the host must install before it builds the pipeline: series that are registered
    /// earlier record nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { source: Source(None), tenants: None }
    }

    /// Uses this recorder instead of the global one.
    #[must_use]
    pub fn with_recorder(recorder: impl Recorder + Send + Sync + 'static) -> Self {
        Self { source: Source(Some(Arc::new(recorder))), tenants: None }
    }

    /// Adds the label `tenant` to every series for the first `most` tenants that call. All other tenants share the
    /// value `_other`, so the number of series stays bounded.
    #[must_use]
    pub const fn with_tenants(mut self, most: usize) -> Self {
        self.tenants = Some(most);
        self
    }
}

impl Default for MetricsLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MetricsLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricsLayer").field("tenants", &self.tenants).finish_non_exhaustive()
    }
}

impl Described for MetricsLayer {
    fn site(&self) -> SiteSpec {
        SiteSpec::new("metrics", Phase::Observe)
    }
}

impl<S> Layer<S> for MetricsLayer {
    type Service = MetricsService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        drop(contain::catch(|| self.source.describe()));
        MetricsService::new(inner, Arc::new(Instruments::new(self.source.clone(), self.tenants)))
    }
}
