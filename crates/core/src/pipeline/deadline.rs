//! The deadline of a call, independent of the executor of the caller.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use tokio::time::{Sleep, sleep_until};

use super::InFlight;

/// A deadline on the timer of the pipeline's runtime. The timer is created at the first poll, so that a call with an immediate
/// answer creates none.
#[derive(Debug)]
pub(crate) struct Deadline {
    at: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

/// Why a call ends before its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expired {
    Passed,
    RuntimeEnded,
}

impl Deadline {
    pub(crate) const fn new(at: Instant) -> Self {
        Self { at, timer: None }
    }

    pub(crate) const fn at(&self) -> Instant {
        self.at
    }

    pub(crate) fn poll(&mut self, in_flight: &InFlight, cx: &mut Context<'_>) -> Poll<Expired> {
        if in_flight.runtime_has_ended() {
            return Poll::Ready(Expired::RuntimeEnded);
        }
        let timer = self.timer.get_or_insert_with(|| {
            let _entered = in_flight.runtime().enter();
            Box::pin(sleep_until(self.at.into()))
        });
        // A timer panics if its runtime has ended.
        let Ok(polled) = catch_unwind(AssertUnwindSafe(|| timer.as_mut().poll(cx))) else {
            return Poll::Ready(Expired::RuntimeEnded);
        };
        ready!(polled);
        Poll::Ready(Expired::Passed)
    }
}
