use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use tower_service::Service;

use super::{TraceFuture, TraceHooks, future::Tracing};
use throughline_core::{PersistError, PersistRequest, PersistResponse, Result};

/// The service of [`TraceLayer`](super::TraceLayer).
pub struct TraceService<S, H> {
    inner: S,
    hooks: Arc<H>,
}

impl<S, H> TraceService<S, H> {
    pub(super) const fn new(inner: S, hooks: Arc<H>) -> Self {
        Self { inner, hooks }
    }
}

impl<S: Clone, H> Clone for TraceService<S, H> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), hooks: Arc::clone(&self.hooks) }
    }
}

impl<S: fmt::Debug, H> fmt::Debug for TraceService<S, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TraceService").field(&self.inner).finish()
    }
}

impl<S, H> Service<PersistRequest> for TraceService<S, H>
where
    S: Service<PersistRequest, Response = PersistResponse, Error = PersistError>,
    H: TraceHooks,
{
    type Response = PersistResponse;
    type Error = PersistError;
    type Future = TraceFuture<S::Future, H>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: PersistRequest) -> Self::Future {
        let tracing = Tracing::begin(Arc::clone(&self.hooks), &request);
        let inner = tracing.span().in_scope(|| self.inner.call(request));
        TraceFuture::new(inner, tracing)
    }
}
