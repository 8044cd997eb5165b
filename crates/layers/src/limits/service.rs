use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project::pin_project;
use tower_service::Service;

use super::LimitsLayer;
use crate::passage::Passage;
use throughline_core::{
    PersistError, PersistRequest, PersistResponse, PersistResult, Result, pipeline::ContentLimit,
};

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

    fn call(&mut self, mut request: PersistRequest) -> Self::Future {
        let passage = match self.limits.check(&request.args) {
            Ok(()) => {
                self.limits.bound_growth(&mut request.args);
                Passage::Passed(self.inner.call(request))
            }
            Err(error) => Passage::refused(error),
        };
        LimitsFuture { passage, limit: ContentLimit(self.limits.content_bytes as u64) }
    }
}

/// The future of [`LimitsService`].
#[pin_project]
#[derive(Debug)]
pub struct LimitsFuture<F> {
    #[pin]
    passage: Passage<F>,
    limit: ContentLimit,
}

impl<F: Future<Output = Result<PersistResponse>>> Future for LimitsFuture<F> {
    type Output = Result<PersistResponse>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut answer = ready!(this.passage.poll(cx));
        // The writer of a draft learns the content limit.
        if let Ok(response) = &mut answer
            && matches!(response.result, PersistResult::Reserve(_))
        {
            let limit = *this.limit;
            let lowest = response.extensions.get().map_or(limit, |inner| limit.min(*inner));
            response.extensions.insert::<ContentLimit>(lowest);
        }
        Poll::Ready(answer)
    }
}
