//! The guard around each layer.

use std::{
    any::Any,
    borrow::Borrow,
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

/// A layer with its guard, which attributes errors, contains panics and checks both boundaries.
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
        // There is no call yet, so that the error keeps the index of the site.
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

/// The future of a guarded layer. `C` is the state of the call, owned or borrowed.
#[pin_project]
#[derive(Debug)]
pub struct GuardedFuture<F, C = Arc<CallState>> {
    #[pin]
    state: State<F>,
    call: C,
    index: u8,
}

#[pin_project(project = StateProjection)]
#[derive(Debug)]
enum State<F> {
    Running(#[pin] F),
    /// The layer was not called, or its `call` panicked.
    Failed(Option<PersistError>),
    /// The layer outside broke the contract, and the error already names it: of a foreign call it reveals nothing else.
    Refused(Option<PersistError>),
}

/// The answer of a layer, which its guard checks.
pub(crate) trait Answer {
    /// Checks that the answer belongs to the call. The error says what is wrong.
    fn check(&self, call: &CallState) -> Result<(), &'static str>;
}

impl Answer for PersistResponse {
    #[inline]
    fn check(&self, call: &CallState) -> Result<(), &'static str> {
        call.shape.check_result(&self.result, &call.facts.tenant)
    }
}

impl<F> GuardedFuture<F> {
    /// Checks the request that the outer layer forwards, and calls this layer.
    #[inline]
    pub(crate) fn start(index: u8, request: PersistRequest, call: impl FnOnce(PersistRequest) -> F) -> Self {
        let facts = Arc::clone(request.context.call());
        if let Some(state) = refusal(index, &facts, &request) {
            return Self { state, call: facts, index };
        }
        facts.cursor().store(index, Relaxed);
        let at_work = (AtWork::on(&facts), AtSite::new(&facts, index));
        // The result is the future itself. It contains the futures of all inner layers, and this form moves it the least.
        let called = catch_unwind(AssertUnwindSafe(|| call(request)));
        drop(at_work);
        facts.cursor().store(CallState::outside(index), Relaxed);
        let state = match called {
            Ok(running) => State::Running(running),
            Err(payload) => State::Failed(Some(panicked(&*payload))),
        };
        Self { state, call: facts, index }
    }
}

impl<F, C: Borrow<Arc<CallState>>> GuardedFuture<F, C> {
    /// Returns the guard of a layer that is not yet called.
    pub(crate) const fn idle(index: u8, call: C) -> Self {
        Self { state: State::Failed(None), call, index }
    }

    /// The call of the layer.
    #[inline]
    pub(crate) fn call(&self) -> &Arc<CallState> {
        self.call.borrow()
    }

    /// The site of the layer.
    #[inline]
    pub(crate) const fn site(&self) -> u8 {
        self.index
    }

    /// Calls the layer.
    #[inline]
    pub(crate) fn begin(self: Pin<&mut Self>, call: impl FnOnce() -> F) {
        let mut this = self.project();
        let (facts, index): (&Arc<CallState>, u8) = ((*this.call).borrow(), *this.index);
        facts.cursor().store(index, Relaxed);
        let at_work = (AtWork::on(facts), AtSite::new(facts, index));
        let called = catch_unwind(AssertUnwindSafe(|| {
            // Always true. It shows the compiler that there is no value to drop, and the future is then made where it stays.
            if matches!(*this.state, State::Failed(None)) {
                this.state.set(State::Running(call()));
            }
        }));
        drop(at_work);
        if let Err(payload) = called {
            this.state.set(State::Failed(Some(panicked(&*payload))));
        }
    }

    /// Fails instead of calling the layer, because the layer outside has broken the contract.
    #[cold]
    pub(crate) fn refuse(self: Pin<&mut Self>, error: PersistError) {
        self.project().state.set(State::Refused(Some(error)));
    }

    /// Drops the call of the layer.
    #[inline]
    pub(crate) fn stop(self: Pin<&mut Self>) {
        self.project().state.set(State::Failed(None));
    }
}

/// Returns the state of a layer that must not be called, because the outer layer forwarded something else than it received.
fn refusal<F>(index: u8, call: &Arc<CallState>, request: &PersistRequest) -> Option<State<F>> {
    // There is no layer outside the first one: the edge has created the shape from these arguments.
    if index == 0 {
        return None;
    }
    let outer = CallState::outside(index);
    if AtWork::is_on_another(call) {
        return Some(State::Refused(Some(foreign_call(outer))));
    }
    let violation = call.shape.check_args(&request.args).err()?;
    Some(State::Failed(Some(contract_violation(violation, call, outer))))
}

impl<F, C: Borrow<Arc<CallState>>> GuardedFuture<F, C> {
    /// Polls the layer, and stores its answer in `answer`, which is pending. An answer is large, and each return of it is a copy.
    #[inline]
    pub(crate) fn poll_into<A, E>(
        self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        answer: &mut Poll<Result<A>>,
    ) where
        F: Future<Output = Result<A, E>>,
        A: Answer,
        E: Into<PersistError>,
    {
        let mut this = self.project();
        let (call, index): (&Arc<CallState>, u8) = ((*this.call).borrow(), *this.index);
        let outer = CallState::outside(index);
        let error = match this.state.as_mut().project() {
            StateProjection::Failed(error) => error.take().expect("polled after it was ready"),
            StateProjection::Refused(error) => {
                *answer = Poll::Ready(Err(error.take().expect("polled after it was ready")));
                return;
            }
            StateProjection::Running(future) => {
                call.cursor().store(index, Relaxed);
                let at_work = (AtWork::on(call), AtSite::new(call, index));
                let mut failed = None;
                let polled = catch_unwind(AssertUnwindSafe(|| {
                    // Always true: see `begin`.
                    if answer.is_pending() {
                        match future.poll(cx) {
                            Poll::Pending => {}
                            Poll::Ready(Ok(response)) => *answer = Poll::Ready(Ok(response)),
                            Poll::Ready(Err(error)) => failed = Some(error.into()),
                        }
                    }
                }));
                drop(at_work);
                match (polled, failed, &*answer) {
                    (Ok(()), Some(error), _) => error,
                    (Ok(()), None, Poll::Ready(Ok(response))) => match response.check(call) {
                        Ok(()) => {
                            call.cursor().store(outer, Relaxed);
                            return;
                        }
                        Err(violation) => PersistError::new(ErrorKind::ContractViolation, violation),
                    },
                    // The cursor stays at the innermost site.
                    (Ok(()), None, _) => return,
                    (Err(payload), ..) => {
                        // A future that panicked is never polled again.
                        this.state.set(State::Failed(None));
                        panicked(&*payload)
                    }
                }
            }
        };
        call.cursor().store(outer, Relaxed);
        *answer = Poll::Ready(Err(call.stamp(error, index)));
    }
}

impl<F, C, A, E> Future for GuardedFuture<F, C>
where
    F: Future<Output = Result<A, E>>,
    C: Borrow<Arc<CallState>>,
    A: Answer,
    E: Into<PersistError>,
{
    type Output = Result<A>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let mut answer = Poll::Pending;
        self.poll_into(cx, &mut answer);
        answer
    }
}

/// Stores the result of a poll if it is ready. The target then has no value to drop, which saves a move; a pending result is not
/// moved.
#[inline]
pub(crate) fn put_ready<T>(target: &mut Poll<T>, polled: Poll<T>) {
    if polled.is_ready() && target.is_pending() {
        *target = polled;
    }
}

/// Returns the error for a layer that forwarded a foreign call: neither its own call nor a child of it. The error names only the
/// site, because the foreign call belongs to another caller.
#[cold]
pub(crate) fn foreign_call(site: u8) -> PersistError {
    let detail = "forwarded a call of another caller";
    PersistError::new(ErrorKind::ContractViolation, detail).with_effect(Effect::NotApplied).unready(site)
}

/// Returns the error for a broken contract of a layer or backend.
#[cold]
pub(crate) fn contract_violation(violation: &'static str, call: &CallState, site: u8) -> PersistError {
    call.stamp(PersistError::new(ErrorKind::ContractViolation, violation), site)
}

/// Returns the error for a panic. It contains the text of the panic only if that is a literal, because other text can have
/// content.
pub(crate) fn panicked(payload: &(dyn Any + Send)) -> PersistError {
    let detail = match payload.downcast_ref::<&'static str>() {
        Some(literal) => format!("panicked: {literal}"),
        None => "panicked".to_owned(),
    };
    PersistError::new(ErrorKind::Panicked, detail)
}
