use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll, ready},
    time::Instant,
};

use pin_project::{pin_project, pinned_drop};
use tracing::Span;

use super::TraceHooks;
use throughline_core::{Context, PersistRequest, PersistResponse, Result, contain};

/// The future of [`TraceService`](super::TraceService).
#[pin_project(PinnedDrop)]
pub struct TraceFuture<F, H: TraceHooks> {
    #[pin]
    inner: F,
    tracing: Tracing<H>,
}

impl<F, H: TraceHooks> TraceFuture<F, H> {
    pub(super) const fn new(inner: F, tracing: Tracing<H>) -> Self {
        Self { inner, tracing }
    }
}

/// The trace of a running call.
pub(super) struct Tracing<H> {
    hooks: Arc<H>,
    context: Context,
    span: Span,
    begun: Instant,
    ended: bool,
}

impl<H: TraceHooks> Tracing<H> {
    pub(super) fn begin(hooks: Arc<H>, request: &PersistRequest) -> Self {
        let span = contain::catch(|| hooks.make_span(request)).unwrap_or_else(|_| Span::none());
        span.in_scope(|| drop(contain::catch(|| hooks.on_request(request, &span))));
        Self { hooks, context: request.context.clone(), span, begun: Instant::now(), ended: false }
    }

    pub(super) const fn span(&self) -> &Span {
        &self.span
    }

    fn end(&mut self, answer: Option<&Result<PersistResponse>>) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let Self { hooks, context, span, begun, .. } = self;
        let took = begun.elapsed();
        span.in_scope(|| {
            drop(contain::catch(|| match answer {
                Some(Ok(response)) => hooks.on_response(response, took, span),
                Some(Err(error)) => hooks.on_failure(error, took, span),
                None => hooks.on_left(context.effect_so_far(), took, span),
            }));
        });
    }
}

impl<F, H> Future for TraceFuture<F, H>
where
    F: Future<Output = Result<PersistResponse>>,
    H: TraceHooks,
{
    type Output = Result<PersistResponse>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let span = this.tracing.span.clone();
        let answer = ready!(span.in_scope(|| this.inner.poll(cx)));
        this.tracing.end(Some(&answer));
        Poll::Ready(answer)
    }
}

#[pinned_drop]
impl<F, H: TraceHooks> PinnedDrop for TraceFuture<F, H> {
    fn drop(self: Pin<&mut Self>) {
        self.project().tracing.end(None);
    }
}

impl<F, H: TraceHooks> fmt::Debug for TraceFuture<F, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceFuture").field("context", &self.tracing.context).finish_non_exhaustive()
    }
}
