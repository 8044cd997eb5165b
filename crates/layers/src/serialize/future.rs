use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project::pin_project;
use tower_service::Service;

use super::Permit;
use throughline_core::{
    Context as CallContext, PersistError, PersistRequest, PersistResponse, Result, pipeline::Oneshot,
};

/// The future of [`SerializeService`](super::SerializeService).
#[pin_project]
pub struct SerializeFuture<S: Service<PersistRequest>> {
    #[pin]
    inner: Oneshot<S>,
    // Dropped after the inner future, because a dropped attempt may register a write that continues.
    held: Option<Held>,
}

impl<S: Service<PersistRequest>> SerializeFuture<S> {
    pub(super) fn new(service: S, request: PersistRequest, permit: Option<Permit>) -> Self {
        let held = permit.map(|permit| Held { permit: Some(permit), context: request.context.clone() });
        Self { inner: Oneshot::new(service, request), held }
    }
}

impl<S> Future for SerializeFuture<S>
where
    S: Service<PersistRequest, Response = PersistResponse, Error = PersistError>,
{
    type Output = Result<PersistResponse>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Some(permit) = this.held.as_mut().and_then(|held| held.permit.as_mut()) {
            ready!(permit.poll_acquired(cx));
        }
        this.inner.poll(cx)
    }
}

/// The permit of a call, held until no write of the call runs.
struct Held {
    permit: Option<Permit>,
    context: CallContext,
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.context.release_after_writes(permit);
        }
    }
}

impl<S: Service<PersistRequest>> fmt::Debug for SerializeFuture<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SerializeFuture").finish_non_exhaustive()
    }
}
