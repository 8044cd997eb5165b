use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project::pin_project;
use tokio::time::{Sleep, sleep};
use tower_service::Service;

use super::{Rule, fault::FaultKind};
use throughline_core::{Effect, ErrorKind, PersistError, PersistRequest, PersistResponse, Result};

/// The future of [`ChaosService`](super::ChaosService).
#[pin_project]
pub struct ChaosFuture<S: Service<PersistRequest>> {
    #[pin]
    state: State<S, S::Future>,
}

#[pin_project(project = StateProjection)]
enum State<S, F> {
    /// A forwarded call, and the fault after its answer.
    Inner(#[pin] F, Option<Late>),
    Delayed(#[pin] Sleep, Option<Box<(S, PersistRequest)>>),
    Refused(Option<PersistError>),
    Hangs,
    Panics,
}

/// A fault after the answer.
enum Late {
    Fail(Option<PersistError>),
    Hang,
    Panic,
}

impl<S> ChaosFuture<S>
where
    S: Service<PersistRequest, Response = PersistResponse, Error = PersistError>,
{
    pub(super) const fn untouched(inner: S::Future) -> Self {
        Self { state: State::Inner(inner, None) }
    }

    pub(super) fn faulty(mut ready: S, request: PersistRequest, rule: &Rule) -> Self {
        let name = &rule.name;
        let error = |kind: ErrorKind, effect: Effect| {
            Some(PersistError::new(kind, format!("the fault `{name}` of a test")).with_effect(effect))
        };
        let mut late = |late: Late| State::Inner(ready.call(request.clone()), Some(late));
        let state = match rule.fault.0 {
            FaultKind::Before(kind) => State::Refused(error(kind, Effect::NotApplied)),
            FaultKind::After(kind, effect) => late(Late::Fail(error(kind, effect))),
            FaultKind::HangAfter => late(Late::Hang),
            FaultKind::PanicAfter => late(Late::Panic),
            FaultKind::Delay(by) => State::Delayed(sleep(by), Some(Box::new((ready, request)))),
            FaultKind::Hang => State::Hangs,
            FaultKind::Panic => State::Panics,
        };
        Self { state }
    }
}

impl<S> Future for ChaosFuture<S>
where
    S: Service<PersistRequest, Response = PersistResponse, Error = PersistError>,
{
    type Output = Result<PersistResponse>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProjection::Inner(inner, late) => {
                    let answer = ready!(inner.poll(cx));
                    // A call that failed by itself keeps its error.
                    return match late {
                        Some(late) if answer.is_ok() => match late {
                            Late::Fail(error) => {
                                Poll::Ready(Err(error.take().expect("polled after it was ready")))
                            }
                            Late::Hang => {
                                this.state.set(State::Hangs);
                                Poll::Pending
                            }
                            Late::Panic => panic!("a fault of a test, after the answer"),
                        },
                        _ => Poll::Ready(answer),
                    };
                }
                StateProjection::Delayed(timer, held) => {
                    ready!(timer.poll(cx));
                    let (mut ready, request) = *held.take().expect("polled after it was ready");
                    this.state.set(State::Inner(ready.call(request), None));
                }
                StateProjection::Refused(error) => {
                    return Poll::Ready(Err(error.take().expect("polled after it was ready")));
                }
                StateProjection::Hangs => return Poll::Pending,
                StateProjection::Panics => panic!("a fault of a test, before the call"),
            }
        }
    }
}

impl<S: Service<PersistRequest>> fmt::Debug for ChaosFuture<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChaosFuture")
    }
}
