//! The error of a layer has to be one of the pipeline's, or become one.
use std::task::{Context, Poll};

use throughline_core::{
    Backend, PersistRequest, PersistResponse, Persistence, Phase,
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
    type Response = PersistResponse;
    type Error = String;
    type Future = std::future::Ready<Result<PersistResponse, String>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), String>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: PersistRequest) -> Self::Future {
        std::future::ready(Err("no".to_owned()))
    }
}

fn build(backend: impl Backend) {
    drop(Persistence::builder().layer(Confused).backend(backend).build());
}

fn main() {}
