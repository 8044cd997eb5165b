use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use tower_service::Service;

use super::{
    BulkGateFuture, BulkGateLayer,
    class::{Class, classify},
    queue::{BulkQueue, CallGuard},
};
use crate::entry::Entry;
use throughline_core::{PersistError, PersistRequest, PersistResponse, Result};

/// The service of [`BulkGateLayer`].
#[derive(Clone)]
pub struct BulkGateService<S> {
    inner: S,
    layer: BulkGateLayer,
    queue: Arc<BulkQueue>,
}

impl<S> BulkGateService<S> {
    pub(super) const fn new(inner: S, layer: BulkGateLayer, queue: Arc<BulkQueue>) -> Self {
        Self { inner, layer, queue }
    }

    fn classify(&self, request: &PersistRequest) -> Class {
        match &self.layer.also {
            Some(also) if also(request) => Class::Bulk,
            _ => classify(&request.args, self.layer.batch_items),
        }
    }

    fn entry(&self, request: &PersistRequest) -> Entry<CallGuard> {
        match self.classify(request) {
            Class::Exempt => Entry::Open(CallGuard::default()),
            Class::Live => Entry::Open(self.queue.live().into()),
            Class::Bulk => match self.queue.wait() {
                Ok(waiting) => {
                    let acquire = waiting.acquire(request.context.clone());
                    Entry::Waits(Box::pin(async move { Ok(acquire.await.into()) }))
                }
                Err(error) => Entry::Refused(Some(error)),
            },
        }
    }
}

impl<S> Service<PersistRequest> for BulkGateService<S>
where
    S: Service<PersistRequest, Response = PersistResponse, Error = PersistError> + Clone,
{
    type Response = PersistResponse;
    type Error = PersistError;
    type Future = BulkGateFuture<S>;

    /// Ready at once: the inner service is made ready when the call starts.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: PersistRequest) -> Self::Future {
        let entry = self.entry(&request);
        BulkGateFuture::new(self.inner.clone(), request, entry)
    }
}

impl<S: fmt::Debug> fmt::Debug for BulkGateService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BulkGateService").field(&self.inner).finish()
    }
}
