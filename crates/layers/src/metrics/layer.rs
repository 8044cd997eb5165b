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
    /// Records with the recorder of the process, which the host has installed before it builds the pipeline: a series that
    /// was asked for earlier stays silent.
    #[must_use]
    pub const fn new() -> Self {
        Self { source: Source(None), tenants: None }
    }

    /// Records with this recorder, whichever the process has.
    #[must_use]
    pub fn with_recorder(recorder: impl Recorder + Send + Sync + 'static) -> Self {
        Self { source: Source(Some(Arc::new(recorder))), tenants: None }
    }

    /// Adds the label `tenant` to every series, for the first `most` tenants that call; those after them share the value
    /// `_other`, so that the number of series stays bounded.
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
