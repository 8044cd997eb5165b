use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use tower_service::Service;

use super::{MetricsFuture, instruments::Instruments, measured::Measured};
use throughline_core::{PersistError, PersistRequest, PersistResponse, Result};

/// The service of [`MetricsLayer`](super::MetricsLayer).
#[derive(Clone)]
pub struct MetricsService<S> {
    inner: S,
    instruments: Arc<Instruments>,
}

impl<S> MetricsService<S> {
    pub(super) const fn new(inner: S, instruments: Arc<Instruments>) -> Self {
        Self { inner, instruments }
    }
}

impl<S: fmt::Debug> fmt::Debug for MetricsService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MetricsService").field(&self.inner).finish()
    }
}

impl<S> Service<PersistRequest> for MetricsService<S>
where
    S: Service<PersistRequest, Response = PersistResponse, Error = PersistError>,
{
    type Response = PersistResponse;
    type Error = PersistError;
    type Future = MetricsFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: PersistRequest) -> Self::Future {
        let measured = Measured::begin(&self.instruments, &request);
        MetricsFuture::new(self.inner.call(request), measured)
    }
}
