use std::{fmt, sync::Arc};

use tower_layer::Layer;

use super::{DefaultHooks, TraceHooks, TraceService};
use throughline_core::pipeline::{Described, Phase, SiteSpec};

/// Traces every call. See the [module](super).
pub struct TraceLayer<H = DefaultHooks> {
    hooks: Arc<H>,
}

impl TraceLayer {
    /// Creates the layer with the fields and events of the [module](super).
    #[must_use]
    pub fn new() -> Self {
        Self::with_hooks(DefaultHooks)
    }
}

impl Default for TraceLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<H: TraceHooks> TraceLayer<H> {
    /// Creates the layer with these hooks.
    #[must_use]
    pub fn with_hooks(hooks: H) -> Self {
        Self { hooks: Arc::new(hooks) }
    }
}

impl<H> Clone for TraceLayer<H> {
    fn clone(&self) -> Self {
        Self { hooks: Arc::clone(&self.hooks) }
    }
}

impl<H> fmt::Debug for TraceLayer<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TraceLayer")
    }
}

impl<H> Described for TraceLayer<H> {
    fn site(&self) -> SiteSpec {
        SiteSpec::new("trace", Phase::Observe).with_rank(10)
    }
}

impl<S, H> Layer<S> for TraceLayer<H> {
    type Service = TraceService<S, H>;

    fn layer(&self, inner: S) -> Self::Service {
        TraceService::new(inner, Arc::clone(&self.hooks))
    }
}
