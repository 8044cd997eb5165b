use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use pin_project::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use throughline_core::{ErrorKind, PersistError, PersistResponse, Result};

/// The future of [`TimeoutService`](super::TimeoutService).
#[pin_project]
#[derive(Debug)]
pub struct TimeoutFuture<F> {
    #[pin]
    inner: F,
    /// Created only for an attempt that waits: most attempts need no timer.
    #[pin]
    timer: Option<Sleep>,
    ends: Option<Instant>,
    limit: Duration,
}

impl<F> TimeoutFuture<F> {
    pub(super) fn new(inner: F, limit: Duration) -> Self {
        // A limit that overflows means no limit.
        Self { inner, timer: None, ends: Instant::now().checked_add(limit), limit }
    }
}

impl<F: Future<Output = Result<PersistResponse>>> Future for TimeoutFuture<F> {
    type Output = Result<PersistResponse>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Poll::Ready(answer) = this.inner.poll(cx) {
            return Poll::Ready(answer);
        }
        let Some(ends) = *this.ends else { return Poll::Pending };
        if this.timer.is_none() {
            this.timer.set(Some(sleep_until(ends)));
        }
        if let Some(timer) = this.timer.as_pin_mut() {
            ready!(timer.poll(cx));
        }
        let limit = *this.limit;
        // No effect is set here: the guard knows how far the attempt has come.
        Poll::Ready(Err(PersistError::new(
            ErrorKind::Timeout,
            format!("the attempt took longer than {limit:?}"),
        )))
    }
}
