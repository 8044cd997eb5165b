use std::sync::Arc;

use tower_layer::Layer;

use super::{Plugin, service::PluginService};
use crate::pipeline::{Described, SiteSpec};

/// A tower layer that runs a [`Plugin`]. Each call costs one allocation.
///
/// [`Builder::plugin`](crate::Builder::plugin) creates it. Use it directly to add a plugin to another stack over
/// [`PersistRequest`](crate::PersistRequest).
#[derive(Debug)]
pub struct PluginLayer<P> {
    plugin: Arc<P>,
}

impl<P: Plugin> PluginLayer<P> {
    /// Returns the plugin as a layer.
    #[must_use]
    pub fn new(plugin: P) -> Self {
        Self { plugin: Arc::new(plugin) }
    }
}

impl<P> Clone for PluginLayer<P> {
    fn clone(&self) -> Self {
        Self { plugin: Arc::clone(&self.plugin) }
    }
}

impl<P: Plugin, S> Layer<S> for PluginLayer<P> {
    type Service = PluginService<P, S>;

    fn layer(&self, inner: S) -> Self::Service {
        PluginService::new(Arc::clone(&self.plugin), inner)
    }
}

impl<P: Plugin> Described for PluginLayer<P> {
    fn site(&self) -> SiteSpec {
        SiteSpec::new(self.plugin.name().to_owned(), self.plugin.phase())
    }
}
