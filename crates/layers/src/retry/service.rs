use std::{
    sync::Arc,
    task::{Context, Poll},
};

use tower_service::Service;

use super::{RetryFuture, RetryLayer};
use throughline_core::{PersistError, PersistRequest, PersistResponse, Result};

/// The service of [`RetryLayer`].
#[derive(Debug, Clone)]
pub struct RetryService<S> {
    inner: S,
    policy: Arc<RetryLayer>,
}

impl<S> RetryService<S> {
    pub(super) fn new(inner: S, policy: RetryLayer) -> Self {
        Self { inner, policy: Arc::new(policy) }
    }
}

impl<S> Service<PersistRequest> for RetryService<S>
where
    S: Service<PersistRequest, Response = PersistResponse, Error = PersistError> + Clone,
{
    type Response = PersistResponse;
    type Error = PersistError;
    type Future = RetryFuture<S>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: PersistRequest) -> Self::Future {
        // The clone was not polled ready, so it stays here, and the ready service makes the first attempt.
        let clone = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, clone);
        RetryFuture::new(ready, Arc::clone(&self.policy), request)
    }
}
