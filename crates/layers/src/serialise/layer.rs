use tower_layer::Layer;

use super::{Queue, SerialiseService};
use throughline_core::pipeline::{Described, Phase, SiteSpec};

/// Lets the writes of one thread go on one after the other. See the [module](super).
#[derive(Debug, Clone, Copy, Default)]
pub struct SerialiseLayer(());

impl SerialiseLayer {
    /// It needs to be told nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self(())
    }
}

impl Described for SerialiseLayer {
    fn site(&self) -> SiteSpec {
        SiteSpec::new("serialise", Phase::Guard).with_rank(90)
    }
}

impl<S> Layer<S> for SerialiseLayer {
    type Service = SerialiseService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        SerialiseService::new(inner, Queue::default())
    }
}
