//! [`layer_laws!`](crate::layer_laws) distinguishes a layer from a plugin by method lookup. It prefers an implementation for a value
//! to one for a reference to it.

use std::marker::PhantomData;

use throughline_core::{
    PersistError, PersistRequest, Plugin,
    pipeline::{Described, PersistService, SharedService},
};
use tower_layer::Layer;
use tower_service::Service;

use super::{LayerProfile, LayerSet};

/// The type that a closure returns, without a call of the closure.
#[must_use]
pub fn type_of<T>(_: &impl Fn() -> T) -> PhantomData<T> {
    PhantomData
}

/// Adds a layer directly.
pub trait AddLayer<L> {
    /// Adds the output of `make` to a set.
    fn add(
        &self,
        set: LayerSet,
        profile: LayerProfile,
        make: impl Fn() -> L + Send + Sync + 'static,
    ) -> LayerSet;
}

impl<L> AddLayer<L> for PhantomData<L>
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

/// Adds a plugin as a layer.
pub trait AddPlugin<P> {
    /// Adds the output of `make` to a set.
    fn add(
        &self,
        set: LayerSet,
        profile: LayerProfile,
        make: impl Fn() -> P + Send + Sync + 'static,
    ) -> LayerSet;
}

impl<P: Plugin> AddPlugin<P> for &PhantomData<P> {
    fn add(
        &self,
        set: LayerSet,
        profile: LayerProfile,
        make: impl Fn() -> P + Send + Sync + 'static,
    ) -> LayerSet {
        set.with_plugin(profile, make)
    }
}
