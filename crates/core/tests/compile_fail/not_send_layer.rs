//! The future of a layer may have to move between threads.
use std::{
    future::{Future, ready},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use throughline_core::{
    Backend, Effect, ErrorKind, PersistError, PersistRequest, PersistResponse, Persistence, Phase,
};
use tower::{Layer, Service};

struct Local;

#[derive(Clone)]
struct LocalService;

impl<S> Layer<S> for Local {
    type Service = LocalService;

    fn layer(&self, _: S) -> LocalService {
        LocalService
    }
}

impl Service<PersistRequest> for LocalService {
    type Response = PersistResponse;
    type Error = PersistError;
    type Future = Pin<Box<dyn Future<Output = Result<PersistResponse, PersistError>>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), PersistError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: PersistRequest) -> Self::Future {
        let held = Rc::new(());
        Box::pin(async move {
            ready(()).await;
            drop(held);
            Err(PersistError::new(ErrorKind::Internal, "no").with_effect(Effect::NotApplied))
        })
    }
}

fn build(backend: impl Backend) {
    drop(Persistence::builder().layer_as("local", Phase::Observe, Local).backend(backend).build());
}

fn main() {}
