//! A future for a call that may wait before its layer forwards it.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project::pin_project;
use tower_service::Service;

use throughline_core::{PersistError, PersistRequest, PersistResponse, Result, pipeline::Oneshot};

/// The decision about a call. The call holds `H` until it has answered.
pub(super) enum Entry<H> {
    Open(H),
    Waits(Pin<Box<dyn Future<Output = Result<H>> + Send>>),
    Refused(Option<PersistError>),
}

/// A call that runs once it is allowed. Only then does it make the inner service ready, because a ready service may
/// hold a permit that other calls need.
#[pin_project]
pub(super) struct Entering<S: Service<PersistRequest>, H> {
    #[pin]
    inner: Oneshot<S>,
    // Dropped after the inner future, which may continue its write when it is dropped.
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
