use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tower_service::Service;

use super::{layer::Shared, write::Write};
use crate::{
    HeldBack, PersistArgs, PersistError, PersistRequest, PersistResponse, ReadArgs, ReplicaArgs, Result,
    pipeline::{Inner, PersistService},
    replica::not_through,
};

/// The service of [`RedactLayer`](super::RedactLayer). One allocation a call.
pub struct RedactService<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> RedactService<S> {
    pub(super) const fn new(inner: S, shared: Arc<Shared>) -> Self {
        Self { inner, shared }
    }
}

impl<S: Clone> Clone for RedactService<S> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), shared: Arc::clone(&self.shared) }
    }
}

impl<S> fmt::Debug for RedactService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedactService").field("open", &self.shared.open.len()).finish_non_exhaustive()
    }
}

impl<S: PersistService<Error = PersistError>> Service<PersistRequest> for RedactService<S> {
    type Response = PersistResponse;
    type Error = PersistError;
    type Future = Pin<Box<dyn Future<Output = Result<PersistResponse>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<()>> {
        // A call may read before it writes, each on a clone that is readied for it.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: PersistRequest) -> Self::Future {
        let inner = Inner::new(self.inner.clone());
        match &request.args {
            PersistArgs::Read(ReadArgs::Get(get)) => {
                let key = (request.context.tenant().clone(), get.thread.clone(), get.id.clone());
                let shared = Arc::clone(&self.shared);
                return Box::pin(async move {
                    let mut response = inner.pass(request).await?;
                    let held = shared.open.held(&key);
                    if held > 0 {
                        response.extensions.insert(HeldBack(held));
                    }
                    Ok(response)
                });
            }
            // A row image is the exact row, with what this layer has not seen or has held back.
            PersistArgs::Replica(ReplicaArgs::Apply(_)) | PersistArgs::Read(ReadArgs::Images(_)) => {
                return Box::pin(std::future::ready(Err(not_through("redact"))));
            }
            PersistArgs::Read(_) => return Box::pin(async move { inner.pass(request).await }),
            _ => {}
        }
        Box::pin(Write::new(inner, Arc::clone(&self.shared)).run(request))
    }
}
