use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll},
};

use tower_service::Service;

use super::{layer::Shared, work::Work};
use throughline_core::{
    PersistError, PersistRequest, PersistResponse, Result,
    pipeline::{InnerService, PersistService},
};

/// The service of [`EncryptLayer`](super::EncryptLayer).
pub struct EncryptService<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> EncryptService<S> {
    pub(super) const fn new(inner: S, shared: Arc<Shared>) -> Self {
        Self { inner, shared }
    }
}

impl<S: Clone> Clone for EncryptService<S> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), shared: Arc::clone(&self.shared) }
    }
}

impl<S> fmt::Debug for EncryptService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EncryptService").field(&self.shared).finish()
    }
}

impl<S: PersistService<Error = PersistError>> Service<PersistRequest> for EncryptService<S> {
    type Response = PersistResponse;
    type Error = PersistError;
    type Future = Pin<Box<dyn Future<Output = Result<PersistResponse>> + Send>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<()>> {
        // One call may make several inner calls, each on a clone that it readies itself.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: PersistRequest) -> Self::Future {
        let work = Work { inner: InnerService::new(self.inner.clone()), shared: Arc::clone(&self.shared) };
        Box::pin(work.serve(request))
    }
}
