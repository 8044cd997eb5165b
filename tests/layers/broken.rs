//! Layers that are broken on purpose, and which checks find them.

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

/// A layer, whole or broken.
pub(crate) struct Perhaps<L> {
    layer: L,
    how: How<L>,
}

/// How a layer is broken.
pub(crate) enum How<L> {
    /// Not at all.
    Whole,
    /// It is not there for these calls.
    Skips(fn(&PersistRequest) -> bool),
    /// It is made anew for each call, and so forgets what was before.
    Forgets(Arc<dyn Fn() -> L + Send + Sync>),
}

impl<L> Clone for How<L> {
    fn clone(&self) -> Self {
        match self {
            Self::Whole => Self::Whole,
            Self::Skips(skips) => Self::Skips(*skips),
            Self::Forgets(make) => Self::Forgets(Arc::clone(make)),
        }
    }
}

impl<L> How<L> {
    /// The layer, broken so.
    pub(crate) fn make(&self, layer: L) -> Perhaps<L> {
        Perhaps { layer, how: self.clone() }
    }
}

impl<L: Described> Described for Perhaps<L> {
    fn site(&self) -> SiteSpec {
        self.layer.site()
    }
}

impl<S: Clone, L: Layer<S> + Clone> Layer<S> for Perhaps<L> {
    type Service = PerhapsService<L, S>;

    fn layer(&self, inner: S) -> Self::Service {
        PerhapsService { with: self.layer.layer(inner.clone()), without: inner, how: self.how.clone() }
    }
}

pub(crate) struct PerhapsService<L: Layer<S>, S> {
    with: L::Service,
    without: S,
    how: How<L>,
}

impl<L: Layer<S, Service: Clone>, S: Clone> Clone for PerhapsService<L, S> {
    fn clone(&self) -> Self {
        Self { with: self.with.clone(), without: self.without.clone(), how: self.how.clone() }
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<PersistResponse>> + Send>>;

impl<L, S> Service<PersistRequest> for PerhapsService<L, S>
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
            How::Skips(skips) if skips(&request) => Box::pin(self.without.call(request)),
            How::Forgets(make) => {
                let clone = self.without.clone();
                let ready = std::mem::replace(&mut self.without, clone);
                Box::pin(make().layer(ready).call(request))
            }
            How::Whole | How::Skips(_) => Box::pin(self.with.call(request)),
        }
    }
}

type Checking = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A check of a layer: a name, and what it does with a stack that `L` stands in.
pub(crate) struct Check<L> {
    pub(crate) name: &'static str,
    pub(crate) run: fn(How<L>) -> Checking,
}

/// Writes a list of checks from functions that take a [`How`].
macro_rules! checks {
    ($($name:ident),+ $(,)?) => {
        &[$($crate::broken::Check { name: stringify!($name), run: |how| Box::pin($name(how)) }),+]
    };
}
pub(crate) use checks;

/// Asserts that these checks and no others find the layer broken.
pub(crate) async fn found<L: 'static>(checks: &[Check<L>], how: &How<L>, by: &[&str]) {
    let mut found = Vec::new();
    for check in checks {
        // A task of its own, so that a panic ends one check and not all.
        if tokio::spawn((check.run)(how.clone())).await.is_err() {
            found.push(check.name);
        }
    }
    assert_eq!(found, by);
}
