use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project::pin_project;
use tower_service::Service;

use super::lines::Place;
use throughline_core::{
    Context as CallContext, PersistError, PersistRequest, PersistResponse, Result, pipeline::Oneshot,
};

/// The future of [`SerialiseService`](super::SerialiseService).
#[pin_project]
pub struct SerialiseFuture<S: Service<PersistRequest>> {
    #[pin]
    inner: Oneshot<S>,
    // After what is inside: an attempt that is dropped says then that its write goes on.
    held: Option<Held>,
}

impl<S: Service<PersistRequest>> SerialiseFuture<S> {
    pub(super) fn new(service: S, request: PersistRequest, place: Option<Place>) -> Self {
        let held = place.map(|place| Held { place: Some(place), context: request.context.clone() });
        Self { inner: Oneshot::new(service, request), held }
    }
}

impl<S> Future for SerialiseFuture<S>
where
    S: Service<PersistRequest, Response = PersistResponse, Error = PersistError>,
{
    type Output = Result<PersistResponse>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Some(place) = this.held.as_mut().and_then(|held| held.place.as_mut()) {
            ready!(place.poll_turn(cx));
        }
        this.inner.poll(cx)
    }
}

/// The place of a call, held until nothing of the call goes on.
struct Held {
    place: Option<Place>,
    context: CallContext,
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            self.context.release_after_writes(place);
        }
    }
}

impl<S: Service<PersistRequest>> fmt::Debug for SerialiseFuture<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SerialiseFuture").finish_non_exhaustive()
    }
}
