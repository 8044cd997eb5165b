//! Deliberately broken layers, and the checks that detect them.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use throughline::{
    PersistError, PersistRequest, PersistResponse, Result,
    pipeline::{Described, SiteSpec},
};
use tower::{Layer, Service};

/// A layer that may be broken.
pub(crate) struct MaybeBroken<L> {
    layer: L,
    how: Defect<L>,
}

/// The defect of a layer.
pub(crate) enum Defect<L> {
    /// The layer has no defect.
    Whole,
    /// These calls bypass the layer.
    Bypassed(fn(&PersistRequest) -> bool),
    /// Each call uses a new layer, so the layer has no state.
    Stateless(Arc<dyn Fn() -> L + Send + Sync>),
}

impl<L> Clone for Defect<L> {
    fn clone(&self) -> Self {
        match self {
            Self::Whole => Self::Whole,
            Self::Bypassed(bypasses) => Self::Bypassed(*bypasses),
            Self::Stateless(make) => Self::Stateless(Arc::clone(make)),
        }
    }
}

impl<L> Defect<L> {
    /// Returns the layer with this defect.
    pub(crate) fn make(&self, layer: L) -> MaybeBroken<L> {
        MaybeBroken { layer, how: self.clone() }
    }
}

impl<L: Described> Described for MaybeBroken<L> {
    fn site(&self) -> SiteSpec {
        self.layer.site()
    }
}

impl<S: Clone, L: Layer<S> + Clone> Layer<S> for MaybeBroken<L> {
    type Service = MaybeBrokenService<L, S>;

    fn layer(&self, inner: S) -> Self::Service {
        MaybeBrokenService { with: self.layer.layer(inner.clone()), without: inner, how: self.how.clone() }
    }
}

pub(crate) struct MaybeBrokenService<L: Layer<S>, S> {
    with: L::Service,
    without: S,
    how: Defect<L>,
}

impl<L: Layer<S, Service: Clone>, S: Clone> Clone for MaybeBrokenService<L, S> {
    fn clone(&self) -> Self {
        Self { with: self.with.clone(), without: self.without.clone(), how: self.how.clone() }
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<PersistResponse>> + Send>>;

impl<L, S> Service<PersistRequest> for MaybeBrokenService<L, S>
where
    L: Layer<S>,
    L::Service:
        Service<PersistRequest, Response = PersistResponse, Error = PersistError, Future: Send + 'static>,
    S: Service<PersistRequest, Response = PersistResponse, Error = PersistError, Future: Send + 'static>
        + Clone,
{
    type Response = PersistResponse;
    type Error = PersistError;
    type Future = Answer;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(self.without.poll_ready(cx))?;
        self.with.poll_ready(cx)
    }

    fn call(&mut self, request: PersistRequest) -> Answer {
        match &self.how {
            Defect::Bypassed(bypasses) if bypasses(&request) => Box::pin(self.without.call(request)),
            Defect::Stateless(make) => {
                let clone = self.without.clone();
                let ready = std::mem::replace(&mut self.without, clone);
                Box::pin(make().layer(ready).call(request))
            }
            Defect::Whole | Defect::Bypassed(_) => Box::pin(self.with.call(request)),
        }
    }
}

type Checking = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A named check of a layer `L`.
pub(crate) struct Check<L> {
    pub(crate) name: &'static str,
    pub(crate) run: fn(Defect<L>) -> Checking,
}

/// Declares a list of checks from functions that take a [`Defect`].
macro_rules! checks {
    ($($name:ident),+ $(,)?) => {
        &[$($crate::broken::Check { name: stringify!($name), run: |how| Box::pin($name(how)) }),+]
    };
}
pub(crate) use checks;

/// Asserts that exactly these checks fail.
pub(crate) async fn assert_failing_checks<L: 'static>(checks: &[Check<L>], how: &Defect<L>, by: &[&str]) {
    let mut found = Vec::new();
    for check in checks {
        // Run each check in its own task, so that a panic ends only one check.
        if tokio::spawn((check.run)(how.clone())).await.is_err() {
            found.push(check.name);
        }
    }
    assert_eq!(found, by);
}
