use std::sync::Arc;

use tower_layer::Layer;

use super::{Plugin, service::PluginService};
use crate::pipeline::{Described, SiteSpec};

/// A tower layer that runs a [`Plugin`]. Each call costs one allocation.
///
/// Use it for a plugin in a [`LayerList`](crate::pipeline::LayerList), or in another stack over
/// [`PersistRequest`](crate::PersistRequest). In a builder, [`Builder::plugin`](crate::Builder::plugin) costs less.
///
/// ```
/// use throughline_core::{Phase, Plugin, PluginLayer, pipeline::LayerList};
///
/// struct Named(&'static str, Phase);
///
/// impl Plugin for Named {
///     fn name(&self) -> &str {
///         self.0
///     }
///
///     fn phase(&self) -> Phase {
///         self.1
///     }
/// }
///
/// // A list that the host builds at run time sorts itself by phase.
/// let plugins = [Named("encrypt", Phase::Transform), Named("audit", Phase::Observe)];
/// let list = plugins.into_iter().fold(LayerList::new(), |list, plugin| list.with(PluginLayer::new(plugin)));
/// assert_eq!(list.names().collect::<Vec<_>>(), ["audit", "encrypt"]);
/// ```
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
