//! The caller's side of a call: admission, the deadline, and the promise that what was handed over is seen through.

use std::{
    fmt,
    future::{Future, poll_fn},
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context as TaskContext, Poll, ready},
    time::Instant,
};

use tokio::{runtime::Handle, sync::OwnedSemaphorePermit};

use super::{
    Core, Deadline, Expired, core::closed, erased::BoxFuture, in_flight::Ticket, validate, watch::Polling,
};
use crate::{
    Effect, ErrorKind, PersistArgs, PersistError, PersistRequest, PersistResponse, Result,
    context::{CallState, Context},
};

/// A call on its way, as its caller holds it.
///
/// Dropped before anything was handed to the backend, nothing ran. Dropped afterwards, the whole call, layers
/// included, goes on by itself on the runtime that the pipeline was built on. The same happens when the deadline
/// passes, which answers `Timeout` with the effect known at that moment.
pub(crate) struct Execution {
    core: Arc<Core>,
    context: Context,
    /// What is asked, until the call begins. Not in the stage, which is taken out at every poll.
    args: Option<PersistArgs>,
    stage: Stage,
    deadline: Option<Deadline>,
    /// The ticket of a detached task. `close` waits for that task, so its calls are admitted.
    let_in_by: Option<Arc<Ticket>>,
}

enum Stage {
    Refused(PersistError),
    Start,
    Waiting(BoxFuture<'static, Result<OwnedSemaphorePermit>>),
    Running(Running),
    Done,
}

struct Running {
    call: BoxFuture<'static, Result<PersistResponse>>,
    place: OwnedSemaphorePermit,
    ticket: Ticket,
}

impl Running {
    /// The call has answered, or is given up before it began. A layer that panics while its future is dropped takes
    /// nothing away from the answer.
    fn end(self, state: &CallState) {
        let Self { call, place, ticket } = self;
        drop(catch_unwind(AssertUnwindSafe(|| drop(call))));
        state.release_after_writes(place);
        drop(ticket);
    }
}

impl Execution {
    pub(super) fn new(core: Arc<Core>, context: Context, args: PersistArgs) -> Self {
        let deadline = context.deadline().map(Deadline::new);
        Self { core, context, args: Some(args), stage: Stage::Start, deadline, let_in_by: None }
    }

    pub(super) const fn refused(core: Arc<Core>, context: Context, error: PersistError) -> Self {
        Self { core, context, args: None, stage: Stage::Refused(error), deadline: None, let_in_by: None }
    }

    /// Lets the call in while the pipeline closes, where there is a ticket of a task that closing waits for.
    pub(crate) fn let_in_by(mut self, ticket: Option<Arc<Ticket>>) -> Self {
        self.let_in_by = ticket;
        self
    }

    /// Lets the call in, or says why not. `Ok(None)` when it has to wait.
    fn admit(&mut self) -> Result<()> {
        let args = self.args.as_ref().expect("the call has not begun");
        validate::check(args)?;
        if self.deadline.as_ref().is_some_and(|deadline| deadline.at() <= Instant::now()) {
            return Err(PersistError::new(
                ErrorKind::Timeout,
                "the deadline had passed before the call began",
            )
            .with_effect(Effect::NotApplied));
        }
        let is_write = args.kind().is_write();
        match self.core.gate.lane(is_write).try_enter() {
            Some(place) => self.begin(place),
            None => {
                let (core, context) = (Arc::clone(&self.core), self.context.clone());
                let wait = Box::pin(async move { core.gate.lane(is_write).enter(context.tenant()).await });
                self.stage = Stage::Waiting(wait);
                Ok(())
            }
        }
    }

    fn begin(&mut self, place: OwnedSemaphorePermit) -> Result<()> {
        let ticket = match self.let_in_by.take() {
            Some(ticket) => ticket.another(),
            None => self.core.in_flight.enter().ok_or_else(closed)?,
        };
        let args = self.args.take().expect("the call has not begun");
        let call = self.core.stack.run(PersistRequest { args, context: self.context.clone() });
        self.stage = Stage::Running(Running { call, place, ticket });
        Ok(())
    }

    fn poll_stage(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<PersistResponse>> {
        loop {
            // Taken out while it is polled: a future that panicked is neither polled nor detached again.
            match mem::replace(&mut self.stage, Stage::Done) {
                Stage::Refused(error) => return Poll::Ready(Err(error)),
                Stage::Start => self.admit()?,
                Stage::Waiting(mut wait) => match wait.as_mut().poll(cx) {
                    Poll::Ready(place) => self.begin(place?)?,
                    Poll::Pending => {
                        self.stage = Stage::Waiting(wait);
                        return Poll::Pending;
                    }
                },
                Stage::Running(mut running) => match running.call.as_mut().poll(cx) {
                    // An answer is moved as it is: it is large.
                    answered @ Poll::Ready(Ok(_)) => {
                        running.end(self.context.call());
                        return answered;
                    }
                    Poll::Ready(Err(error)) => {
                        running.end(self.context.call());
                        return Poll::Ready(Err(self.kept(error)));
                    }
                    Poll::Pending => {
                        self.stage = Stage::Running(running);
                        return Poll::Pending;
                    }
                },
                Stage::Done => panic!("a call was polled after it had answered"),
            }
        }
    }

    /// Holds an error to its word: where it says that nothing was applied, nothing will be, whatever a layer has left running.
    fn kept(&self, error: PersistError) -> PersistError {
        let call = self.context.call();
        if error.effect() != Effect::NotApplied || !call.shape.kind().is_write() || call.cancel() {
            return error;
        }
        error.with_effect(call.effect())
    }

    /// Lets the call go: on by itself when something was handed over, away otherwise. Says whether it had begun and ends here.
    fn let_go(&mut self) -> bool {
        let running = match mem::replace(&mut self.stage, Stage::Done) {
            Stage::Running(running) => running,
            Stage::Waiting(_) => return true,
            Stage::Refused(_) | Stage::Start | Stage::Done => return false,
        };
        let state = Arc::clone(self.context.call());
        if state.cancel() {
            running.end(&state);
            true
        } else {
            let (core, context) = (Arc::clone(&self.core), self.context.clone());
            self.core.in_flight.detach(async move {
                let Running { mut call, place, ticket } = running;
                let answer = poll_fn(|cx| {
                    let _polling = Polling::on(&core.watched, &state);
                    call.as_mut().poll(cx)
                })
                .await;
                core.answered(&context, answer.as_ref().err());
                drop(answer);
                Running { call, place, ticket }.end(&state);
            });
            false
        }
    }

    fn given_up(&mut self, kind: ErrorKind, why: &'static str) -> PersistError {
        let call = Arc::clone(self.context.call());
        let at_work = call.cursor().load(Relaxed);
        let effect = call.effect();
        self.let_go();
        let error = call.stamp(PersistError::new(kind, why).with_effect(effect), at_work);
        self.core.answered(&self.context, Some(&error));
        error
    }
}

impl Future for Execution {
    type Output = Result<PersistResponse>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        // Layers may use the timers of tokio, whatever executor their caller has.
        let runtime = Handle::try_current().is_err().then(|| this.core.in_flight.runtime().clone());
        let _entered = runtime.as_ref().map(Handle::enter);
        let polling = Polling::on(&this.core.watched, this.context.call());
        let polled = this.poll_stage(cx);
        drop(polling);
        match polled {
            Poll::Ready(Ok(_)) => {
                this.core.answered(&this.context, None);
                return polled;
            }
            // One that has no site yet was refused here.
            Poll::Ready(Err(error)) => {
                let error = this.context.call().stamp(error, CallState::EDGE);
                this.core.answered(&this.context, Some(&error));
                return Poll::Ready(Err(error));
            }
            Poll::Pending => {}
        }
        // A timer is made only for a call that has to wait.
        let Some(deadline) = &mut this.deadline else { return Poll::Pending };
        let error = match ready!(deadline.poll(&this.core.in_flight, cx)) {
            Expired::Passed => this.given_up(ErrorKind::Timeout, "the deadline passed"),
            Expired::RuntimeEnded => {
                this.given_up(ErrorKind::Cancelled, "the runtime of the pipeline has ended")
            }
        };
        Poll::Ready(Err(error))
    }
}

impl Drop for Execution {
    fn drop(&mut self) {
        let at_work = self.context.call().cursor().load(Relaxed);
        // Of a call that goes on by itself its end is recorded.
        if self.let_go() {
            let call = self.context.call();
            let error =
                PersistError::new(ErrorKind::Cancelled, "its caller left before anything was handed over")
                    .with_effect(Effect::NotApplied);
            let error = call.stamp(error, at_work);
            self.core.answered(&self.context, Some(&error));
        }
    }
}

impl fmt::Debug for Execution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Execution").field("context", &self.context).finish_non_exhaustive()
    }
}
