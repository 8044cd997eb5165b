use std::{
    future::Future,
    pin::Pin,
    task::{Context as TaskContext, Poll, ready},
    time::Instant,
};

use pin_project::{pin_project, pinned_drop};
use tower_service::Service;

use super::{Event, Outcome, queue::Queue};
use crate::{Context, PersistError, PersistRequest, PersistResponse, Result};

/// The service of [`observe`](super::observe).
#[derive(Debug, Clone)]
pub struct ObserveService<S> {
    inner: S,
    queue: Queue,
}

impl<S> ObserveService<S> {
    pub(super) const fn new(inner: S, queue: Queue) -> Self {
        Self { inner, queue }
    }
}

impl<S> Service<PersistRequest> for ObserveService<S>
where
    S: Service<PersistRequest, Response = PersistResponse, Error = PersistError>,
{
    type Response = PersistResponse;
    type Error = PersistError;
    type Future = ObserveFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<()>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: PersistRequest) -> Self::Future {
        let pending = PendingEvent {
            queue: self.queue.clone(),
            context: request.context.clone(),
            begun: Instant::now(),
        };
        ObserveFuture { inner: self.inner.call(request), pending: Some(pending) }
    }
}

/// The future of [`ObserveService`].
#[pin_project(PinnedDrop)]
#[derive(Debug)]
pub struct ObserveFuture<F> {
    #[pin]
    inner: F,
    pending: Option<PendingEvent>,
}

#[derive(Debug)]
struct PendingEvent {
    queue: Queue,
    context: Context,
    begun: Instant,
}

impl PendingEvent {
    fn report(self, outcome: Outcome) {
        let duration = self.begun.elapsed();
        self.queue.report_event(Event { context: self.context, outcome, duration });
    }
}

impl<F: Future<Output = Result<PersistResponse>>> Future for ObserveFuture<F> {
    type Output = Result<PersistResponse>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = ready!(this.inner.poll(cx));
        if let Some(pending) = this.pending.take() {
            pending.report(match &answer {
                Ok(response) => Outcome::Answered {
                    position: response.receipt.position,
                    deduplicated: response.result.is_deduplicated(),
                },
                Err(error) => Outcome::Failed { kind: error.kind(), effect: error.effect() },
            });
        }
        Poll::Ready(answer)
    }
}

#[pinned_drop]
impl<F> PinnedDrop for ObserveFuture<F> {
    fn drop(self: Pin<&mut Self>) {
        if let Some(pending) = self.project().pending.take() {
            let effect = pending.context.effect_so_far();
            pending.report(Outcome::Left { effect });
        }
    }
}
