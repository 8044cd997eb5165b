use std::{fmt, sync::Arc};

use tower_layer::Layer;

use super::{Described, Guard, PersistService, Phase, SharedService, SiteSpec, order};
use crate::PersistError;

type BoxedLayer = Arc<dyn Fn(SharedService, u8) -> SharedService + Send + Sync>;

/// A list of layers that is built at run time and runs as one layer, for example from a configuration file.
///
/// The list sorts its layers by phase and rank. Each layer has its own guard and its own site. It costs one boxed future more
/// than a static layer.
///
/// ```
/// use throughline_core::{Phase, pipeline::LayerList};
/// use tower::layer::util::Identity;
///
/// let list = LayerList::new()
///     .with_as("mirror", Phase::Route, Identity::new())
///     .with_as("audit", Phase::Observe, Identity::new());
/// assert_eq!(list.names().collect::<Vec<_>>(), ["audit", "mirror"]);
/// ```
#[derive(Clone, Default)]
pub struct LayerList {
    items: Vec<Item>,
}

#[derive(Clone)]
struct Item {
    spec: SiteSpec,
    layer: BoxedLayer,
}

impl LayerList {
    /// Returns an empty list.
    #[must_use]
    pub const fn new() -> Self {
        Self { items: Vec::new() }
    }

    /// Adds a layer that implements [`Described`].
    #[must_use]
    pub fn with<L>(self, layer: L) -> Self
    where
        L: Described + Layer<SharedService> + Send + Sync + 'static,
        L::Service: PersistService,
        <L::Service as tower_service::Service<crate::PersistRequest>>::Error: Into<PersistError>,
    {
        let spec = layer.site();
        self.push(spec, layer)
    }

    /// Adds any tower layer with this name and phase.
    #[must_use]
    pub fn with_as<L>(self, name: impl Into<std::borrow::Cow<'static, str>>, phase: Phase, layer: L) -> Self
    where
        L: Layer<SharedService> + Send + Sync + 'static,
        L::Service: PersistService,
        <L::Service as tower_service::Service<crate::PersistRequest>>::Error: Into<PersistError>,
    {
        self.push(SiteSpec::new(name, phase), layer)
    }

    fn push<L>(mut self, spec: SiteSpec, layer: L) -> Self
    where
        L: Layer<SharedService> + Send + Sync + 'static,
        L::Service: PersistService,
        <L::Service as tower_service::Service<crate::PersistRequest>>::Error: Into<PersistError>,
    {
        let layer = Arc::new(layer);
        self.items.push(Item {
            spec,
            layer: Arc::new(move |inner, index| {
                SharedService::new(Guard::new(ByReference(Arc::clone(&layer)), index).layer(inner))
            }),
        });
        order::sort(&mut self.items, |item| &item.spec);
        self
    }

    /// The names of the layers in their order, outermost first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.items.iter().map(|item| &*item.spec.name)
    }

    pub(crate) fn specs(&self) -> impl Iterator<Item = SiteSpec> {
        self.items.iter().map(|item| item.spec.clone())
    }

    /// Mounts the list in a stack, where its first layer is the site `first`.
    pub(crate) fn at(self, first: u8) -> BoxedLayers {
        BoxedLayers { layers: self.items.into_iter().map(|item| item.layer).collect(), first }
    }
}

impl fmt::Debug for LayerList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

/// A layer behind an `Arc`.
struct ByReference<L>(Arc<L>);

impl<S, L: Layer<S>> Layer<S> for ByReference<L> {
    type Service = L::Service;

    fn layer(&self, inner: S) -> L::Service {
        self.0.layer(inner)
    }
}

/// A [`LayerList`] in a stack.
#[derive(Clone)]
pub struct BoxedLayers {
    layers: Arc<[BoxedLayer]>,
    first: u8,
}

impl<S: PersistService<Error = PersistError>> Layer<S> for BoxedLayers {
    type Service = SharedService;

    fn layer(&self, inner: S) -> SharedService {
        let mut service = SharedService::new(inner);
        for (at, layer) in self.layers.iter().enumerate().rev() {
            // The builder has already refused more layers than an index can count.
            let index = u8::try_from(usize::from(self.first) + at).unwrap_or(u8::MAX);
            service = layer(service, index);
        }
        service
    }
}

impl fmt::Debug for BoxedLayers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BoxedLayers({})", self.layers.len())
    }
}
