use std::{fmt, future::Future, pin::Pin, sync::Arc};

use tower_layer::Layer;

use super::{Plugin, service::PluginListService, tail::Tail};
use crate::{PersistRequest, PersistResponse, Phase, Result, pipeline::SiteSpec};

/// A plugin without its type.
pub(super) trait Item: Send + Sync {
    fn name(&self) -> &str;
    fn phase(&self) -> Phase;
    fn run<'a>(
        &'a self,
        request: PersistRequest,
        tail: Tail<'a>,
    ) -> Pin<Box<dyn Future<Output = Result<PersistResponse>> + Send + 'a>>;
}

/// Plugins chosen at run time, mounted as one layer: cheaper than a layer each from three plugins on, and the way to
/// build a stack from a configuration file.
///
/// It sorts itself by phase, keeping the order of registration inside a phase. Each plugin is guarded and named as a
/// site of its own.
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
    /// No plugins.
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

    /// The names in order, outermost first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.items.iter().map(|item| item.name())
    }

    pub(crate) fn specs(&self) -> impl Iterator<Item = SiteSpec> {
        self.items.iter().map(|item| SiteSpec::new(item.name().to_owned(), item.phase()))
    }

    /// The list in its place: its first plugin is the site `first`.
    pub(crate) fn at(self, first: u8) -> MountedPlugins {
        MountedPlugins { items: self.items.into(), first }
    }
}

/// A [`PluginList`] in its place.
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
