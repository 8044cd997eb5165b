//! Broken variants of layers.

use std::{
    pin::Pin,
    task::{Context as TaskContext, Poll},
};

use throughline::{
    PersistError, PersistRequest, PersistResponse, Result,
    pipeline::{Described, PersistService, SiteSpec},
};
use tower::{Layer, Service, ServiceExt as _};

type Answer = Pin<Box<dyn Future<Output = Result<PersistResponse>> + Send>>;

/// A variant that some calls bypass.
#[derive(Clone)]
pub(crate) struct Bypassed<L> {
    pub(crate) layer: L,
    pub(crate) bypasses: fn(&PersistRequest) -> bool,
}

impl<L: Described> Described for Bypassed<L> {
    fn site(&self) -> SiteSpec {
        self.layer.site()
    }
}

impl<S: Clone, L: Layer<S>> Layer<S> for Bypassed<L> {
    type Service = BypassedService<L::Service, S>;

    fn layer(&self, inner: S) -> Self::Service {
        BypassedService { layered: self.layer.layer(inner.clone()), bypass: inner, bypasses: self.bypasses }
    }
}

#[derive(Clone)]
pub(crate) struct BypassedService<T, S> {
    layered: T,
    bypass: S,
    bypasses: fn(&PersistRequest) -> bool,
}

impl<T, S> Service<PersistRequest> for BypassedService<T, S>
where
    T: PersistService<Error = PersistError>,
    S: PersistService<Error = PersistError>,
{
    type Response = PersistResponse;
    type Error = PersistError;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: PersistRequest) -> Answer {
        if (self.bypasses)(&request) {
            Box::pin(self.bypass.clone().oneshot(request))
        } else {
            Box::pin(self.layered.clone().oneshot(request))
        }
    }
}

/// A variant that is a new layer for each call, so it has no state.
#[derive(Clone)]
pub(crate) struct Stateless<L>(pub(crate) fn() -> L);

impl<L: Described> Described for Stateless<L> {
    fn site(&self) -> SiteSpec {
        (self.0)().site()
    }
}

impl<S, L> Layer<S> for Stateless<L> {
    type Service = StatelessService<L, S>;

    fn layer(&self, inner: S) -> Self::Service {
        StatelessService { make: self.0, inner }
    }
}

pub(crate) struct StatelessService<L, S> {
    make: fn() -> L,
    inner: S,
}

impl<L, S: Clone> Clone for StatelessService<L, S> {
    fn clone(&self) -> Self {
        Self { make: self.make, inner: self.inner.clone() }
    }
}

impl<L, S> Service<PersistRequest> for StatelessService<L, S>
where
    S: PersistService<Error = PersistError>,
    L: Layer<S, Service: PersistService<Error = PersistError>>,
{
    type Response = PersistResponse;
    type Error = PersistError;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: PersistRequest) -> Answer {
        Box::pin((self.make)().layer(self.inner.clone()).oneshot(request))
    }
}

/// A variant that runs each call in a spawned task, so it does not notice that the caller left.
#[derive(Clone)]
pub(crate) struct Detached<L>(pub(crate) L);

impl<L: Described> Described for Detached<L> {
    fn site(&self) -> SiteSpec {
        self.0.site()
    }
}

impl<S, L: Layer<S>> Layer<S> for Detached<L> {
    type Service = DetachedService<L::Service>;

    fn layer(&self, inner: S) -> Self::Service {
        DetachedService(self.0.layer(inner))
    }
}

#[derive(Clone)]
pub(crate) struct DetachedService<T>(T);

impl<T: PersistService<Error = PersistError>> Service<PersistRequest> for DetachedService<T> {
    type Response = PersistResponse;
    type Error = PersistError;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: PersistRequest) -> Answer {
        let call = self.0.clone().oneshot(request);
        Box::pin(async move { tokio::spawn(call).await.expect("no panic") })
    }
}
