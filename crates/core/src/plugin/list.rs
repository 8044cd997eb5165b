use std::{fmt, future::Future, pin::Pin, sync::Arc};

use tower_layer::Layer;

use super::{Plugin, service::PluginListService, tail::Tail};
use crate::{PersistRequest, PersistResponse, Phase, Result, pipeline::SiteSpec};

/// A plugin with an erased type.
pub(super) trait Item: Send + Sync {
    fn name(&self) -> &str;
    fn phase(&self) -> Phase;
    fn run<'a>(
        &'a self,
        request: PersistRequest,
        tail: Tail<'a>,
    ) -> Pin<Box<dyn Future<Output = Result<PersistResponse>> + Send + 'a>>;
}

/// A list of plugins that is built at run time and runs as one layer, for example from a configuration file. From three plugins
/// on, it is cheaper than one layer for each.
///
/// The list sorts its plugins by phase and keeps the order of registration inside a phase. Each plugin has its own guard and its
/// own site.
///
/// ```
/// use throughline_core::{Phase, Plugin, plugin::PluginList};
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
/// let list = PluginList::new().with(Named("encrypt", Phase::Transform)).with(Named("audit", Phase::Observe));
/// assert_eq!(list.names().collect::<Vec<_>>(), ["audit", "encrypt"]);
/// ```
#[derive(Clone, Default)]
pub struct PluginList {
    items: Vec<Arc<dyn Item>>,
}

impl PluginList {
    /// Returns an empty list.
    #[must_use]
    pub const fn new() -> Self {
        Self { items: Vec::new() }
    }

    /// Adds a plugin.
    #[must_use]
    pub fn with(mut self, plugin: impl Plugin) -> Self {
        self.items.push(Arc::new(plugin));
        self.items.sort_by_key(|item| item.phase());
        self
    }

    /// The names of the plugins in their order, outermost first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.items.iter().map(|item| item.name())
    }

    pub(crate) fn specs(&self) -> impl Iterator<Item = SiteSpec> {
        self.items.iter().map(|item| SiteSpec::new(item.name().to_owned(), item.phase()))
    }

    /// Mounts the list in a stack, where its first plugin is the site `first`.
    pub(crate) fn at(self, first: u8) -> MountedPlugins {
        MountedPlugins { items: self.items.into(), first }
    }
}

/// A [`PluginList`] in a stack.
#[derive(Clone)]
pub struct MountedPlugins {
    items: Arc<[Arc<dyn Item>]>,
    first: u8,
}

impl<S> Layer<S> for MountedPlugins {
    type Service = PluginListService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        PluginListService::new(Arc::clone(&self.items), self.first, inner)
    }
}

impl fmt::Debug for MountedPlugins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MountedPlugins({})", self.items.len())
    }
}

impl fmt::Debug for PluginList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}
