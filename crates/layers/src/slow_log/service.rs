use std::{
    sync::Arc,
    task::{Context, Poll},
};

use tower_service::Service;

use super::{SlowLogFuture, SlowLogLayer, watched::Watched};
use throughline_core::{PersistError, PersistRequest, PersistResponse, Result};

/// The service of [`SlowLogLayer`].
#[derive(Debug, Clone)]
pub struct SlowLogService<S> {
    inner: S,
    layer: Arc<SlowLogLayer>,
}

impl<S> SlowLogService<S> {
    pub(super) const fn new(inner: S, layer: Arc<SlowLogLayer>) -> Self {
        Self { inner, layer }
    }
}

impl<S> Service<PersistRequest> for SlowLogService<S>
where
    S: Service<PersistRequest, Response = PersistResponse, Error = PersistError>,
{
    type Response = PersistResponse;
    type Error = PersistError;
    type Future = SlowLogFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: PersistRequest) -> Self::Future {
        let watched = Watched::begin(Arc::clone(&self.layer), request.context.clone());
        SlowLogFuture::new(self.inner.call(request), watched)
    }
}
