use std::{
    task::{Context, Poll},
    time::Duration,
};

use tower_service::Service;

use super::TimeoutFuture;
use throughline_core::{PersistError, PersistRequest, PersistResponse, Result};

/// The service of [`TimeoutLayer`](super::TimeoutLayer).
#[derive(Debug, Clone)]
pub struct TimeoutService<S> {
    inner: S,
    limit: Duration,
}

impl<S> TimeoutService<S> {
    pub(super) const fn new(inner: S, limit: Duration) -> Self {
        Self { inner, limit }
    }
}

impl<S> Service<PersistRequest> for TimeoutService<S>
where
    S: Service<PersistRequest, Response = PersistResponse, Error = PersistError>,
{
    type Response = PersistResponse;
    type Error = PersistError;
    type Future = TimeoutFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: PersistRequest) -> Self::Future {
        TimeoutFuture::new(self.inner.call(request), self.limit)
    }
}
