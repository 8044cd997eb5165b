use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project::pin_project;

use super::measured::Measured;
use throughline_core::{PersistResponse, Result};

/// The future of [`MetricsService`](super::MetricsService).
#[pin_project]
pub struct MetricsFuture<F> {
    #[pin]
    inner: F,
    measured: Measured,
}

impl<F> MetricsFuture<F> {
    pub(super) const fn new(inner: F, measured: Measured) -> Self {
        Self { inner, measured }
    }
}

impl<F: Future<Output = Result<PersistResponse>>> Future for MetricsFuture<F> {
    type Output = Result<PersistResponse>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = ready!(this.inner.poll(cx));
        this.measured.end(&answer);
        Poll::Ready(answer)
    }
}

impl<F> fmt::Debug for MetricsFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MetricsFuture")
    }
}
