//! The response of a layer must be the response of the pipeline.
use std::task::{Context, Poll};

use throughline_core::{
    Backend, PersistError, PersistRequest, Persistence, Phase,
    pipeline::{Described, SiteSpec},
};
use tower::{Layer, Service};

struct Confused;

#[derive(Clone)]
struct Confusion<S>(S);

impl Described for Confused {
    fn site(&self) -> SiteSpec {
        SiteSpec::new("confused", Phase::Observe)
    }
}

impl<S> Layer<S> for Confused {
    type Service = Confusion<S>;

    fn layer(&self, inner: S) -> Confusion<S> {
        Confusion(inner)
    }
}

impl<S> Service<PersistRequest> for Confusion<S> {
    type Response = u8;
    type Error = PersistError;
    type Future = std::future::Ready<Result<u8, PersistError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), PersistError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: PersistRequest) -> Self::Future {
        std::future::ready(Ok(7))
    }
}

fn build(backend: impl Backend) {
    drop(Persistence::builder().layer(Confused).backend(backend).build());
}

fn main() {}
