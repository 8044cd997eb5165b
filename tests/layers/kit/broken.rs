//! Layers that are wrong in one way.

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

/// A layer that some calls go round.
#[derive(Clone)]
pub(crate) struct Skips<L> {
    pub(crate) layer: L,
    pub(crate) skips: fn(&PersistRequest) -> bool,
}

impl<L: Described> Described for Skips<L> {
    fn site(&self) -> SiteSpec {
        self.layer.site()
    }
}

impl<S: Clone, L: Layer<S>> Layer<S> for Skips<L> {
    type Service = SkipsService<L::Service, S>;

    fn layer(&self, inner: S) -> Self::Service {
        SkipsService { through: self.layer.layer(inner.clone()), round: inner, skips: self.skips }
    }
}

#[derive(Clone)]
pub(crate) struct SkipsService<T, S> {
    through: T,
    round: S,
    skips: fn(&PersistRequest) -> bool,
}

impl<T, S> Service<PersistRequest> for SkipsService<T, S>
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
        if (self.skips)(&request) {
            Box::pin(self.round.clone().oneshot(request))
        } else {
            Box::pin(self.through.clone().oneshot(request))
        }
    }
}

/// A layer that is another one for each call: what it knew of the calls before is forgotten.
#[derive(Clone)]
pub(crate) struct Forgets<L>(pub(crate) fn() -> L);

impl<L: Described> Described for Forgets<L> {
    fn site(&self) -> SiteSpec {
        (self.0)().site()
    }
}

impl<S, L> Layer<S> for Forgets<L> {
    type Service = ForgetsService<L, S>;

    fn layer(&self, inner: S) -> Self::Service {
        ForgetsService { make: self.0, inner }
    }
}

pub(crate) struct ForgetsService<L, S> {
    make: fn() -> L,
    inner: S,
}

impl<L, S: Clone> Clone for ForgetsService<L, S> {
    fn clone(&self) -> Self {
        Self { make: self.make, inner: self.inner.clone() }
    }
}

impl<L, S> Service<PersistRequest> for ForgetsService<L, S>
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

/// A layer that does not notice when its caller leaves: it goes on in a task of its own.
#[derive(Clone)]
pub(crate) struct Stays<L>(pub(crate) L);

impl<L: Described> Described for Stays<L> {
    fn site(&self) -> SiteSpec {
        self.0.site()
    }
}

impl<S, L: Layer<S>> Layer<S> for Stays<L> {
    type Service = StaysService<L::Service>;

    fn layer(&self, inner: S) -> Self::Service {
        StaysService(self.0.layer(inner))
    }
}

#[derive(Clone)]
pub(crate) struct StaysService<T>(T);

impl<T: PersistService<Error = PersistError>> Service<PersistRequest> for StaysService<T> {
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
