//! What surrounds each layer.

use std::{
    any::Any,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context as TaskContext, Poll},
};

use pin_project::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    Effect, ErrorKind, PersistError, PersistRequest, PersistResponse, Result,
    context::{AtWork, CallState},
    pipeline::AtSite,
};

/// A layer in its place: attributed, contained, checked at both boundaries.
#[derive(Debug, Clone)]
pub struct Guard<L> {
    layer: L,
    index: u8,
}

impl<L> Guard<L> {
    pub(crate) const fn new(layer: L, index: u8) -> Self {
        Self { layer, index }
    }
}

impl<S, L: Layer<S>> Layer<S> for Guard<L> {
    type Service = Guarded<L::Service>;

    fn layer(&self, inner: S) -> Self::Service {
        Guarded { inner: self.layer.layer(inner), index: self.index }
    }
}

/// The service of a [`Guard`].
#[derive(Debug, Clone)]
pub struct Guarded<S> {
    inner: S,
    index: u8,
}

impl<S> Service<PersistRequest> for Guarded<S>
where
    S: Service<PersistRequest, Response = PersistResponse>,
    S::Error: Into<PersistError>,
{
    type Response = PersistResponse;
    type Error = PersistError;
    type Future = GuardedFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<()>> {
        // There is no call yet to name the site: the error keeps the index until there is one.
        match catch_unwind(AssertUnwindSafe(|| self.inner.poll_ready(cx))) {
            Ok(ready) => ready.map_err(|error| error.into().unready(self.index)),
            Err(payload) => Poll::Ready(Err(panicked(&*payload).unready(self.index))),
        }
    }

    fn call(&mut self, request: PersistRequest) -> Self::Future {
        let index = self.index;
        GuardedFuture::start(index, request, |request| self.inner.call(request))
    }
}

/// The future of a guarded layer.
#[pin_project]
#[derive(Debug)]
pub struct GuardedFuture<F> {
    #[pin]
    state: State<F>,
    call: Arc<CallState>,
    index: u8,
}

#[pin_project(project = StateProjection)]
#[derive(Debug)]
enum State<F> {
    Running(#[pin] F),
    /// The layer was not called, or panicked while it was.
    Failed(Option<PersistError>),
    /// The call is somebody else's: nothing of it is told.
    Strange(Option<PersistError>),
}

impl<F> GuardedFuture<F> {
    /// Checks what the layer outside passed on, and calls this one.
    pub(crate) fn start(index: u8, request: PersistRequest, call: impl FnOnce(PersistRequest) -> F) -> Self {
        let state = Arc::clone(request.context.call());
        let mut guarded = Self { state: State::Failed(None), call: state, index };
        guarded.begin(request, call);
        guarded
    }

    /// Puts the future of the layer where it is to stay: it holds those of all layers further in, and is moved as little as
    /// can be.
    fn begin(&mut self, request: PersistRequest, call: impl FnOnce(PersistRequest) -> F) {
        let Self { state, call: facts, index } = self;
        let outer = CallState::outside(*index);
        // Nobody stands outside the first one: the edge has just taken the shape of what it passes on.
        let checked = if *index == 0 { Ok(()) } else { facts.shape.check_args(&request.args) };
        match checked {
            _ if *index > 0 && AtWork::is_on_another(facts) => *state = State::Strange(Some(strange(outer))),
            Err(what) => *state = State::Failed(Some(contract_violation(what, facts, outer))),
            Ok(()) => {
                facts.cursor().store(*index, Relaxed);
                let at_work = (AtWork::on(facts), AtSite::new(facts, *index));
                let called = catch_unwind(AssertUnwindSafe(|| {
                    let running = call(request);
                    // It is. That there is nothing to be dropped in its place spares the future a move.
                    if matches!(state, State::Failed(None)) {
                        *state = State::Running(running);
                    }
                }));
                drop(at_work);
                facts.cursor().store(outer, Relaxed);
                if let Err(payload) = called {
                    *state = State::Failed(Some(panicked(&*payload)));
                }
            }
        }
    }
}

impl<F, E> Future for GuardedFuture<F>
where
    F: Future<Output = Result<PersistResponse, E>>,
    E: Into<PersistError>,
{
    type Output = Result<PersistResponse>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let (call, index) = (&*this.call, *this.index);
        let outer = CallState::outside(index);
        let error = match this.state.as_mut().project() {
            StateProjection::Failed(error) => error.take().expect("polled after it was ready"),
            StateProjection::Strange(error) => {
                return Poll::Ready(Err(error.take().expect("polled after it was ready")));
            }
            StateProjection::Running(future) => {
                // An answer is large: it does not go through `catch_unwind`, which moves what it returns, and is looked at
                // where it lies.
                let mut answer = Poll::Pending;
                call.cursor().store(index, Relaxed);
                let at_work = (AtWork::on(call), AtSite::new(call, index));
                let polled = catch_unwind(AssertUnwindSafe(|| put_ready(&mut answer, future.poll(cx))));
                drop(at_work);
                match (polled, &answer) {
                    // The cursor stays where the innermost site left it.
                    (Ok(()), Poll::Pending) => return Poll::Pending,
                    (Ok(()), Poll::Ready(Ok(response))) => {
                        match call.shape.check_result(&response.result, &call.facts.tenant) {
                            Ok(()) => {
                                call.cursor().store(outer, Relaxed);
                                return answer.map_err(Into::into);
                            }
                            Err(what) => PersistError::new(ErrorKind::ContractViolation, what),
                        }
                    }
                    (Ok(()), Poll::Ready(Err(_))) => match answer {
                        Poll::Ready(Err(error)) => error.into(),
                        _ => unreachable!("looked at just now"),
                    },
                    (Err(payload), _) => {
                        // A future that panicked is never polled again.
                        this.state.set(State::Failed(None));
                        panicked(&*payload)
                    }
                }
            }
        };
        call.cursor().store(outer, Relaxed);
        Poll::Ready(Err(call.stamp(error, index)))
    }
}

/// Takes down what a future was polled to. That there is nothing in its place to be dropped spares it a move, and that it is
/// pending is not moved at all.
#[inline]
pub(crate) fn put_ready<T>(place: &mut Poll<T>, polled: Poll<T>) {
    if polled.is_ready() && place.is_pending() {
        *place = polled;
    }
}

/// The layer at this site has passed on a call that is not the one it was given. What that call is about is not for whoever made
/// this one: only the site is named.
#[cold]
pub(crate) fn strange(site: u8) -> PersistError {
    let detail = "passed on the call of somebody else";
    PersistError::new(ErrorKind::ContractViolation, detail).with_effect(Effect::NotApplied).unready(site)
}

/// What `site` did that it may not.
#[cold]
pub(crate) fn contract_violation(what: &'static str, call: &CallState, site: u8) -> PersistError {
    call.stamp(PersistError::new(ErrorKind::ContractViolation, what), site)
}

/// The error for a panic. The text of the panic is not repeated where it may hold content: only a literal is.
pub(crate) fn panicked(payload: &(dyn Any + Send)) -> PersistError {
    let detail = match payload.downcast_ref::<&'static str>() {
        Some(literal) => format!("panicked: {literal}"),
        None => "panicked".to_owned(),
    };
    PersistError::new(ErrorKind::Panicked, detail)
}
