use std::task::{Context, Poll};

use tower_service::Service;

use super::{Queue, SerializeFuture};
use throughline_core::{
    PersistError, PersistRequest, PersistResponse, Result, ThreadId, operations::Addressed as _,
};

/// The service of [`SerializeLayer`](super::SerializeLayer).
#[derive(Debug, Clone)]
pub struct SerializeService<S> {
    inner: S,
    queue: Queue,
}

impl<S> SerializeService<S> {
    pub(super) const fn new(inner: S, queue: Queue) -> Self {
        Self { inner, queue }
    }
}

impl<S> Service<PersistRequest> for SerializeService<S>
where
    S: Service<PersistRequest, Response = PersistResponse, Error = PersistError> + Clone,
{
    type Response = PersistResponse;
    type Error = PersistError;
    type Future = SerializeFuture<S>;

    /// Ready at once: the inner service is made ready when the call has its permit, because a ready service may hold a
    /// permit that other calls need.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: PersistRequest) -> Self::Future {
        let threads = threads(&request);
        let tenant = request.context.tenant();
        let keys = threads.into_iter().map(|thread| (tenant.clone(), thread));
        let permit = (keys.len() > 0).then(|| self.queue.enter(keys));
        SerializeFuture::new(self.inner.clone(), request, permit)
    }
}

/// Returns the threads that a call writes to, each once.
fn threads(request: &PersistRequest) -> Vec<ThreadId> {
    if !request.kind().is_write() {
        return Vec::new();
    }
    let mut threads: Vec<_> = request.args.each().filter_map(|one| one.thread()).cloned().collect();
    threads.sort_unstable();
    threads.dedup();
    threads
}
