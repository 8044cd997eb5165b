use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project::pin_project;

use super::watched::Watched;
use throughline_core::{PersistResponse, Result};

/// The future of [`SlowLogService`](super::SlowLogService).
#[pin_project]
pub struct SlowLogFuture<F> {
    #[pin]
    inner: F,
    watched: Watched,
}

impl<F> SlowLogFuture<F> {
    pub(super) const fn new(inner: F, watched: Watched) -> Self {
        Self { inner, watched }
    }
}

impl<F: Future<Output = Result<PersistResponse>>> Future for SlowLogFuture<F> {
    type Output = Result<PersistResponse>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        this.watched.goes_on();
        match this.inner.poll(cx) {
            Poll::Pending => {
                this.watched.waits();
                Poll::Pending
            }
            Poll::Ready(answer) => {
                this.watched.end(&answer);
                Poll::Ready(answer)
            }
        }
    }
}

impl<F> fmt::Debug for SlowLogFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SlowLogFuture")
    }
}
