use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use backon::{BackoffBuilder as _, ExponentialBackoff};
use pin_project::pin_project;
use tokio::time::{Sleep, sleep};
use tower_service::Service;

use super::RetryLayer;
use throughline_core::{PersistError, PersistRequest, PersistResponse, Result, pipeline::AttemptsMade};

/// The future of [`RetryService`](super::RetryService).
#[pin_project]
pub struct RetryFuture<S: Service<PersistRequest>> {
    service: S,
    policy: Arc<RetryLayer>,
    /// The request that every attempt clones.
    request: PersistRequest,
    attempt: u32,
    /// The waits between attempts, created when the first one is needed: most calls need none.
    waits: Option<Box<ExponentialBackoff>>,
    #[pin]
    state: State<S::Future>,
}

#[pin_project(project = StateProjection)]
enum State<F> {
    Attempt(#[pin] F),
    Waiting(#[pin] Sleep),
    Readying,
}

impl<S> RetryFuture<S>
where
    S: Service<PersistRequest, Response = PersistResponse, Error = PersistError>,
{
    pub(super) fn new(mut ready: S, policy: Arc<RetryLayer>, request: PersistRequest) -> Self {
        policy.budget.deposit();
        let state = State::Attempt(ready.call(request.clone()));
        let attempt = request.context.attempt();
        Self { service: ready, policy, request, attempt, waits: None, state }
    }
}

impl<S> Future for RetryFuture<S>
where
    S: Service<PersistRequest, Response = PersistResponse, Error = PersistError>,
{
    type Output = Result<PersistResponse>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProjection::Attempt(attempt) => {
                    let answer = ready!(attempt.poll(cx));
                    let made = *this.attempt - this.request.context.attempt() + 1;
                    let error = match answer {
                        Ok(mut response) => {
                            if made > 1 {
                                response.extensions.insert(AttemptsMade(made));
                            }
                            return Poll::Ready(Ok(response));
                        }
                        Err(error) => error,
                    };
                    match next_wait(&error, made, this.policy, this.waits, this.request) {
                        Some(wait) => this.state.set(State::Waiting(sleep(wait))),
                        None => return Poll::Ready(Err(name_attempts(error, made))),
                    }
                }
                StateProjection::Waiting(timer) => {
                    ready!(timer.poll(cx));
                    this.state.set(State::Readying);
                }
                StateProjection::Readying => {
                    ready!(this.service.poll_ready(cx))?;
                    *this.attempt += 1;
                    let mut request = this.request.clone();
                    request.context = request.context.with_attempt(*this.attempt);
                    this.state.set(State::Attempt(this.service.call(request)));
                }
            }
        }
    }
}

/// The longest wait that a store can request.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Returns the wait before another attempt; `None` to stop.
fn next_wait(
    error: &PersistError,
    made: u32,
    policy: &RetryLayer,
    waits: &mut Option<Box<ExponentialBackoff>>,
    request: &PersistRequest,
) -> Option<Duration> {
    // An error with more than one attempt comes from an inner retry layer that has already stopped.
    if made >= policy.attempts || !error.is_transient() || error.attempts() > 1 {
        return None;
    }
    let planned = waits.get_or_insert_with(|| Box::new(policy.backoff.build())).next()?;
    let wait = error.retry_after().map_or(planned, |asked| asked.max(planned)).min(LONGEST_WAIT);
    let ends_in_time = request.context.deadline().is_none_or(|deadline| {
        std::time::Instant::now().checked_add(wait).is_some_and(|ends| ends < deadline)
    });
    (ends_in_time && policy.budget.withdraw()).then_some(wait)
}

fn name_attempts(error: PersistError, made: u32) -> PersistError {
    if made > 1 { error.with_attempts(made) } else { error }
}

impl<S: Service<PersistRequest>> fmt::Debug for RetryFuture<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryFuture").field("attempt", &self.attempt).finish_non_exhaustive()
    }
}
