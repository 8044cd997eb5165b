use tower_layer::Layer;

use super::{Queue, SerializeService};
use throughline_core::pipeline::{Described, Phase, SiteSpec};

/// Runs the writes of one thread one at a time, in arrival order. See the [module](super).
#[derive(Debug, Clone, Copy, Default)]
pub struct SerializeLayer(());

impl SerializeLayer {
    /// Creates the layer, which has no settings.
    #[must_use]
    pub const fn new() -> Self {
        Self(())
    }
}

impl Described for SerializeLayer {
    fn site(&self) -> SiteSpec {
        SiteSpec::new("serialize", Phase::Guard).with_rank(90)
    }
}

impl<S> Layer<S> for SerializeLayer {
    type Service = SerializeService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        SerializeService::new(inner, Queue::default())
    }
}
