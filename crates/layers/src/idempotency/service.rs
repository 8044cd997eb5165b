use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project::pin_project;
use tower_service::Service;

use super::RequireKeyLayer;
use crate::passage::Passage;
use throughline_core::{PersistError, PersistRequest, PersistResponse, Result};

/// The service of [`RequireKeyLayer`].
#[derive(Debug, Clone)]
pub struct RequireKeyService<S> {
    inner: S,
    layer: RequireKeyLayer,
}

impl<S> RequireKeyService<S> {
    pub(super) const fn new(inner: S, layer: RequireKeyLayer) -> Self {
        Self { inner, layer }
    }
}

impl<S> Service<PersistRequest> for RequireKeyService<S>
where
    S: Service<PersistRequest, Response = PersistResponse, Error = PersistError>,
{
    type Response = PersistResponse;
    type Error = PersistError;
    type Future = RequireKeyFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: PersistRequest) -> Self::Future {
        RequireKeyFuture(match self.layer.check(&request) {
            Ok(()) => Passage::Passed(self.inner.call(request)),
            Err(error) => Passage::refused(error),
        })
    }
}

/// The future of [`RequireKeyService`].
#[pin_project]
#[derive(Debug)]
pub struct RequireKeyFuture<F>(#[pin] Passage<F>);

impl<F: Future<Output = Result<PersistResponse>>> Future for RequireKeyFuture<F> {
    type Output = Result<PersistResponse>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().0.poll(cx)
    }
}
