use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use tower_service::Service;

use super::{
    BulkGateFuture, BulkGateLayer,
    bulk::{Sort, sort},
    gate::{Gate, Pass},
};
use crate::entry::Entry;
use throughline_core::{PersistError, PersistRequest, PersistResponse, Result};

/// The service of [`BulkGateLayer`].
#[derive(Clone)]
pub struct BulkGateService<S> {
    inner: S,
    layer: BulkGateLayer,
    gate: Arc<Gate>,
}

impl<S> BulkGateService<S> {
    pub(super) const fn new(inner: S, layer: BulkGateLayer, gate: Arc<Gate>) -> Self {
        Self { inner, layer, gate }
    }

    fn sort(&self, request: &PersistRequest) -> Sort {
        match &self.layer.also {
            Some(also) if also(request) => Sort::Bulk,
            _ => sort(&request.args, self.layer.batch_items),
        }
    }

    fn entry(&self, request: &PersistRequest) -> Entry<Pass> {
        match self.sort(request) {
            Sort::Beside => Entry::Open(Pass::default()),
            Sort::Live => Entry::Open(self.gate.live().into()),
            Sort::Bulk => match self.gate.wait() {
                Ok(waiting) => {
                    let turn = waiting.turn(request.context.clone());
                    Entry::Waits(Box::pin(async move { Ok(turn.await.into()) }))
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

    /// What is inside is made ready when the call goes on.
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
