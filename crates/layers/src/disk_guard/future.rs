use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project::pin_project;
use tower_service::Service;

use crate::entry::{Entering, Entry};
use throughline_core::{PersistError, PersistRequest, PersistResponse, Result};

/// The future of [`DiskGuardService`](super::DiskGuardService).
#[pin_project]
pub struct DiskGuardFuture<S: Service<PersistRequest>>(#[pin] Entering<S, ()>);

impl<S: Service<PersistRequest>> DiskGuardFuture<S> {
    pub(super) const fn new(service: S, request: PersistRequest, entry: Entry<()>) -> Self {
        Self(Entering::new(service, request, entry))
    }
}

impl<S> Future for DiskGuardFuture<S>
where
    S: Service<PersistRequest, Response = PersistResponse, Error = PersistError>,
{
    type Output = Result<PersistResponse>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().0.poll(cx)
    }
}

impl<S: Service<PersistRequest>> fmt::Debug for DiskGuardFuture<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskGuardFuture").finish_non_exhaustive()
    }
}
