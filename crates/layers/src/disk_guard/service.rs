use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use tower_service::Service;

use super::{DiskGuardFuture, watch::Watch};
use crate::entry::Entry;
use throughline_core::{PersistError, PersistRequest, PersistResponse, Result};

/// The service of [`DiskGuardLayer`](super::DiskGuardLayer).
#[derive(Clone)]
pub struct DiskGuardService<S> {
    inner: S,
    watch: Arc<Watch>,
}

impl<S> DiskGuardService<S> {
    pub(super) const fn new(inner: S, watch: Arc<Watch>) -> Self {
        Self { inner, watch }
    }

    fn entry(&self, request: &PersistRequest) -> Entry<()> {
        if !request.grows() {
            return Entry::Open(());
        }
        match self.watch.known() {
            Some(Ok(())) => Entry::Open(()),
            Some(Err(error)) => Entry::Refused(Some(error)),
            None => {
                let watch = Arc::clone(&self.watch);
                Entry::Waits(Box::pin(async move { watch.look().await }))
            }
        }
    }
}

impl<S> Service<PersistRequest> for DiskGuardService<S>
where
    S: Service<PersistRequest, Response = PersistResponse, Error = PersistError> + Clone,
{
    type Response = PersistResponse;
    type Error = PersistError;
    type Future = DiskGuardFuture<S>;

    /// Ready at once: the inner service is made ready when the call starts.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: PersistRequest) -> Self::Future {
        let entry = self.entry(&request);
        DiskGuardFuture::new(self.inner.clone(), request, entry)
    }
}

impl<S: fmt::Debug> fmt::Debug for DiskGuardService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DiskGuardService").field(&self.inner).finish()
    }
}
