use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project::pin_project;
use tower_service::Service;

use super::LimitsLayer;
use crate::{PersistError, PersistRequest, PersistResponse, Result, layers::passage::Passage};

/// The service of [`LimitsLayer`].
#[derive(Debug, Clone)]
pub struct LimitsService<S> {
    inner: S,
    limits: LimitsLayer,
}

impl<S> LimitsService<S> {
    pub(super) const fn new(inner: S, limits: LimitsLayer) -> Self {
        Self { inner, limits }
    }
}

impl<S> Service<PersistRequest> for LimitsService<S>
where
    S: Service<PersistRequest, Response = PersistResponse, Error = PersistError>,
{
    type Response = PersistResponse;
    type Error = PersistError;
    type Future = LimitsFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: PersistRequest) -> Self::Future {
        LimitsFuture(match self.limits.check(&request.args) {
            Ok(()) => Passage::Passed(self.inner.call(request)),
            Err(error) => Passage::refused(error),
        })
    }
}

/// The future of [`LimitsService`].
#[pin_project]
#[derive(Debug)]
pub struct LimitsFuture<F>(#[pin] Passage<F>);

impl<F: Future<Output = Result<PersistResponse>>> Future for LimitsFuture<F> {
    type Output = Result<PersistResponse>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().0.poll(cx)
    }
}
