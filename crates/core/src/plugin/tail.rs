//! The rest of a stack as a plugin holds it: the later plugins of its list, then the layers after the list.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll, ready},
};

use pin_project::{pin_project, pinned_drop};
use tower_service::Service;

use super::list::Item;
use crate::{PersistError, PersistRequest, PersistResponse, Result, pipeline::GuardedFuture};

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The layers after a plugin, with an erased type. The box of the plugin holds the service, the request and the future, so that
/// an inner call needs no further box.
pub(super) trait Rest: Send {
    /// Takes the request of the next call.
    fn take(self: Pin<&mut Self>, request: PersistRequest);

    /// Waits until the service is ready, calls it with the stored request, and polls the call.
    fn poll_call(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Result<PersistResponse>>;

    /// Drops the request or the running call.
    fn cancel(self: Pin<&mut Self>);
}

#[pin_project]
pub(super) struct Inner<S: Service<PersistRequest>> {
    service: S,
    #[pin]
    stage: Stage<S::Future>,
}

#[pin_project(project = StageProjection, project_replace = StageReplaced)]
enum Stage<F> {
    Idle,
    Asked(PersistRequest),
    Called(#[pin] F),
}

impl<S: Service<PersistRequest>> Inner<S> {
    pub(super) const fn new(service: S) -> Self {
        Self { service, stage: Stage::Idle }
    }
}

impl<S> Rest for Inner<S>
where
    S: Service<PersistRequest, Response = PersistResponse> + Send,
    S::Future: Send,
    S::Error: Into<PersistError>,
{
    fn take(self: Pin<&mut Self>, request: PersistRequest) {
        self.project().stage.set(Stage::Asked(request));
    }

    fn poll_call(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Result<PersistResponse>> {
        let mut this = self.project();
        if let StageProjection::Asked(_) = this.stage.as_mut().project() {
            ready!(this.service.poll_ready(cx)).map_err(Into::into)?;
            let StageReplaced::Asked(request) = this.stage.as_mut().project_replace(Stage::Idle) else {
                unreachable!("matched above")
            };
            this.stage.set(Stage::Called(this.service.call(request)));
        }
        let StageProjection::Called(call) = this.stage.as_mut().project() else {
            panic!("polled after it was ready")
        };
        let polled = call.poll(cx).map_err(Into::into);
        if polled.is_ready() {
            this.stage.set(Stage::Idle);
        }
        polled
    }

    fn cancel(self: Pin<&mut Self>) {
        self.project().stage.set(Stage::Idle);
    }
}

/// The later plugins of a list, and the layers after the list.
pub(super) struct Tail<'a> {
    items: &'a [Arc<dyn Item>],
    /// The site of the first later plugin.
    index: u8,
    rest: Pin<&'a mut (dyn Rest + 'a)>,
}

impl<'a> Tail<'a> {
    pub(super) fn new(items: &'a [Arc<dyn Item>], index: u8, rest: Pin<&'a mut (dyn Rest + 'a)>) -> Self {
        Self { items, index, rest }
    }

    /// Returns the same rest for a nested read.
    pub(super) fn reborrow(&mut self) -> Tail<'_> {
        Tail { items: self.items, index: self.index, rest: shorten(self.rest.as_mut()) }
    }

    pub(super) fn run(self, request: PersistRequest) -> TailFuture<'a> {
        match self.items.split_first() {
            None => {
                let mut rest = self.rest;
                rest.as_mut().take(request);
                TailFuture::Rest(rest)
            }
            Some((item, items)) => {
                let tail = Tail { items, index: self.index.saturating_add(1), rest: self.rest };
                TailFuture::Item(GuardedFuture::start(self.index, request, |request| item.run(request, tail)))
            }
        }
    }
}

/// Shortens the lifetime of a borrowed trait object. A function is needed, because the compiler shortens the bound only at a
/// coercion site.
fn shorten<'s, 'a: 's>(rest: Pin<&'s mut (dyn Rest + 'a)>) -> Pin<&'s mut (dyn Rest + 's)> {
    rest
}

/// The rest of the stack at work.
#[pin_project(project = TailProjection, PinnedDrop)]
pub(super) enum TailFuture<'a> {
    Item(#[pin] GuardedFuture<BoxFuture<'a, Result<PersistResponse>>>),
    Rest(Pin<&'a mut (dyn Rest + 'a)>),
}

impl Future for TailFuture<'_> {
    type Output = Result<PersistResponse>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        match self.project() {
            TailProjection::Item(item) => item.poll(cx),
            TailProjection::Rest(rest) => rest.as_mut().poll_call(cx),
        }
    }
}

#[pinned_drop]
impl PinnedDrop for TailFuture<'_> {
    /// Otherwise a call that a plugin dropped, for example in a `select!`, would live on in the box of the plugin.
    fn drop(self: Pin<&mut Self>) {
        if let TailProjection::Rest(rest) = self.project() {
            rest.as_mut().cancel();
        }
    }
}
