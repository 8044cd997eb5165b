//! How [`layer_laws!`](crate::layer_laws) tells a layer from a plugin: by method lookup, which takes an implementation for a value
//! before one for a reference to it.

use std::marker::PhantomData;

use throughline_core::{
    PersistError, PersistRequest, Plugin,
    pipeline::{Described, PersistService, SharedService},
};
use tower_layer::Layer;
use tower_service::Service;

use super::{LayerProfile, LayerSet};

/// What a closure makes, without making it.
#[must_use]
pub fn made_by<T>(_: &impl Fn() -> T) -> PhantomData<T> {
    PhantomData
}

/// A layer is added as it is.
pub trait GivenLayer<L> {
    /// Adds what `make` makes to a set.
    fn add(
        &self,
        set: LayerSet,
        profile: LayerProfile,
        make: impl Fn() -> L + Send + Sync + 'static,
    ) -> LayerSet;
}

impl<L> GivenLayer<L> for PhantomData<L>
where
    L: Described + Layer<SharedService> + Send + Sync + 'static,
    L::Service: PersistService,
    <L::Service as Service<PersistRequest>>::Error: Into<PersistError>,
{
    fn add(
        &self,
        set: LayerSet,
        profile: LayerProfile,
        make: impl Fn() -> L + Send + Sync + 'static,
    ) -> LayerSet {
        set.with(profile, make)
    }
}

/// A plugin is added as the layer that mounts it.
pub trait GivenPlugin<P> {
    /// Adds what `make` makes to a set.
    fn add(
        &self,
        set: LayerSet,
        profile: LayerProfile,
        make: impl Fn() -> P + Send + Sync + 'static,
    ) -> LayerSet;
}

impl<P: Plugin> GivenPlugin<P> for &PhantomData<P> {
    fn add(
        &self,
        set: LayerSet,
        profile: LayerProfile,
        make: impl Fn() -> P + Send + Sync + 'static,
    ) -> LayerSet {
        set.with_plugin(profile, make)
    }
}
