//! What becomes of a call that may have to wait before a layer lets it through.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project::pin_project;
use tower_service::Service;

use throughline_core::{PersistError, PersistRequest, PersistResponse, Result, pipeline::Oneshot};

/// Whether a call may go on. What it gets, it holds until it has answered.
pub(super) enum Entry<H> {
    Open(H),
    Waits(Pin<Box<dyn Future<Output = Result<H>> + Send>>),
    Refused(Option<PersistError>),
}

/// A call that goes on when it may. What is inside is made ready then, and not before: what is ready holds something that
/// others may need.
#[pin_project]
pub(super) struct Entering<S: Service<PersistRequest>, H> {
    #[pin]
    inner: Oneshot<S>,
    // After what is inside, which may go on by itself when it is dropped and say so.
    entry: Entry<H>,
}

impl<S: Service<PersistRequest>, H> Entering<S, H> {
    pub(super) const fn new(service: S, request: PersistRequest, entry: Entry<H>) -> Self {
        Self { inner: Oneshot::new(service, request), entry }
    }
}

impl<S, H> Future for Entering<S, H>
where
    S: Service<PersistRequest, Response = PersistResponse, Error = PersistError>,
{
    type Output = Result<PersistResponse>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match this.entry {
            Entry::Open(_) => {}
            Entry::Waits(wait) => match ready!(wait.as_mut().poll(cx)) {
                Ok(held) => *this.entry = Entry::Open(held),
                Err(error) => return Poll::Ready(Err(error)),
            },
            Entry::Refused(error) => {
                return Poll::Ready(Err(error.take().expect("polled after it was ready")));
            }
        }
        this.inner.poll(cx)
    }
}
