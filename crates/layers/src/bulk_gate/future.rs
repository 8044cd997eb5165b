use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project::pin_project;
use tower_service::Service;

use super::queue::CallGuard;
use crate::entry::{Entering, Entry};
use throughline_core::{PersistError, PersistRequest, PersistResponse, Result};

/// The future of [`BulkGateService`](super::BulkGateService).
#[pin_project]
pub struct BulkGateFuture<S: Service<PersistRequest>>(#[pin] Entering<S, CallGuard>);

impl<S: Service<PersistRequest>> BulkGateFuture<S> {
    pub(super) const fn new(service: S, request: PersistRequest, entry: Entry<CallGuard>) -> Self {
        Self(Entering::new(service, request, entry))
    }
}

impl<S> Future for BulkGateFuture<S>
where
    S: Service<PersistRequest, Response = PersistResponse, Error = PersistError>,
{
    type Output = Result<PersistResponse>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().0.poll(cx)
    }
}

impl<S: Service<PersistRequest>> fmt::Debug for BulkGateFuture<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BulkGateFuture").finish_non_exhaustive()
    }
}
