use tower_layer::Layer;

use super::{Queue, SerializeService};
use throughline_core::pipeline::{Described, Phase, SiteSpec};

/// Lets the writes of one thread go on one after the other. See the [module](super).
#[derive(Debug, Clone, Copy, Default)]
pub struct SerializeLayer(());

impl SerializeLayer {
    /// It needs to be told nothing.
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
