use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project::pin_project;
use tower_service::Service;

use super::{QuotaLayer, charge::Charge};
use crate::passage::Passage;
use throughline_core::{PersistError, PersistRequest, PersistResponse, Result};

/// The service of [`QuotaLayer`].
#[derive(Debug, Clone)]
pub struct QuotaService<S> {
    inner: S,
    layer: QuotaLayer,
}

impl<S> QuotaService<S> {
    pub(super) const fn new(inner: S, layer: QuotaLayer) -> Self {
        Self { inner, layer }
    }
}

impl<S> Service<PersistRequest> for QuotaService<S>
where
    S: Service<PersistRequest, Response = PersistResponse, Error = PersistError>,
{
    type Response = PersistResponse;
    type Error = PersistError;
    type Future = QuotaFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: PersistRequest) -> Self::Future {
        match self.layer.admit(&request) {
            Ok(charge) => {
                QuotaFuture { inner: Passage::Passed(self.inner.call(request)), charge: Some(charge) }
            }
            Err(error) => QuotaFuture { inner: Passage::refused(error), charge: None },
        }
    }
}

/// The future of [`QuotaService`].
#[pin_project]
#[derive(Debug)]
pub struct QuotaFuture<F> {
    #[pin]
    inner: Passage<F>,
    charge: Option<Charge>,
}

impl<F: Future<Output = Result<PersistResponse>>> Future for QuotaFuture<F> {
    type Output = Result<PersistResponse>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = ready!(this.inner.poll(cx));
        if let Some(mut charge) = this.charge.take() {
            charge.keep();
        }
        Poll::Ready(answer)
    }
}
