//! The edge of a pipeline: admission, the deadline, and the completion of detached calls.

use std::{
    fmt,
    future::{Future, poll_fn},
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context as TaskContext, Poll},
    time::Instant,
};

use tokio::{runtime::Handle, sync::OwnedSemaphorePermit};

use super::{
    Core, Deadline, Expired, core::closed, erased::BoxFuture, in_flight::InFlightGuard, put_ready, validate,
    watch::Polling,
};
use crate::{
    Effect, ErrorKind, PersistArgs, PersistError, PersistRequest, PersistResponse, Result,
    context::{CallState, Context},
};

/// A call of a caller, as a future.
///
/// If it is dropped before a backend has received the call, nothing was applied. If it is dropped later, the whole call with its
/// layers continues as a task on the runtime of the pipeline. The same happens at the deadline, when the caller gets `Timeout`
/// with the effect known at that moment.
pub(crate) struct Execution {
    core: Arc<Core>,
    context: Context,
    /// The operation, until the call begins. It is not part of the stage, because each poll moves the stage.
    args: Option<PersistArgs>,
    stage: Stage,
    deadline: Option<Deadline>,
    /// The guard of a detached task. `close` waits for that task, so that its calls are admitted.
    let_in_by: Option<Arc<InFlightGuard>>,
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
    permit: OwnedSemaphorePermit,
    in_flight: InFlightGuard,
}

impl Running {
    /// Ends a call that was answered or cancelled. If a layer panics while its future is dropped, the answer is not affected.
    fn end(self, state: &CallState) {
        let Self { call, permit, in_flight } = self;
        drop(catch_unwind(AssertUnwindSafe(|| drop(call))));
        state.release_after_writes(permit);
        drop(in_flight);
    }
}

impl Execution {
    /// Returns the call. With `let_in_by` it belongs to a task that `close` waits for, and is admitted while the pipeline closes.
    pub(super) fn new(
        core: Arc<Core>,
        context: Context,
        args: PersistArgs,
        let_in_by: Option<Arc<InFlightGuard>>,
    ) -> Self {
        let deadline = context.deadline().map(Deadline::new);
        Self { core, context, args: Some(args), stage: Stage::Start, deadline, let_in_by }
    }

    pub(super) const fn refused(core: Arc<Core>, context: Context, error: PersistError) -> Self {
        Self { core, context, args: None, stage: Stage::Refused(error), deadline: None, let_in_by: None }
    }

    /// Validates and admits the call. The call waits if there is no free permit.
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
        match self.core.admission.queue(is_write).try_enter() {
            Some(permit) => self.begin(permit),
            None => {
                let (core, context) = (Arc::clone(&self.core), self.context.clone());
                let wait =
                    Box::pin(async move { core.admission.queue(is_write).enter(context.tenant()).await });
                self.stage = Stage::Waiting(wait);
                Ok(())
            }
        }
    }

    fn begin(&mut self, permit: OwnedSemaphorePermit) -> Result<()> {
        let in_flight = match self.let_in_by.take() {
            Some(in_flight) => in_flight.another(),
            None => self.core.in_flight.enter().ok_or_else(closed)?,
        };
        let args = self.args.take().expect("the call has not begun");
        let call = self.core.stack.run(PersistRequest { args, context: self.context.clone() });
        self.stage = Stage::Running(Running { call, permit, in_flight });
        Ok(())
    }

    /// Polls the call, and stores its answer in `answer`, which is pending. An answer is large, and each return of it is a copy.
    fn poll_stage(
        &mut self,
        cx: &mut TaskContext<'_>,
        answer: &mut Poll<Result<PersistResponse>>,
    ) -> Result<()> {
        loop {
            // Moved out for the poll: a future that panicked is neither polled nor detached again.
            match mem::replace(&mut self.stage, Stage::Done) {
                Stage::Refused(error) => return Err(error),
                Stage::Start => self.admit()?,
                Stage::Waiting(mut wait) => match wait.as_mut().poll(cx) {
                    Poll::Ready(permit) => self.begin(permit?)?,
                    Poll::Pending => {
                        self.stage = Stage::Waiting(wait);
                        return Ok(());
                    }
                },
                Stage::Running(mut running) => {
                    put_ready(answer, running.call.as_mut().poll(cx));
                    if answer.is_pending() {
                        self.stage = Stage::Running(running);
                        return Ok(());
                    }
                    running.end(self.context.call());
                    return match answer {
                        Poll::Ready(Err(_)) => match mem::replace(answer, Poll::Pending) {
                            Poll::Ready(Err(error)) => Err(self.kept(error)),
                            _ => unreachable!("matched above"),
                        },
                        _ => Ok(()),
                    };
                }
                Stage::Done => panic!("a call was polled after it had completed"),
            }
        }
    }

    /// Makes the effect of an error true: `NotApplied` cancels the call, so that no task of a layer can still apply it.
    fn kept(&self, error: PersistError) -> PersistError {
        let call = self.context.call();
        if error.effect() != Effect::NotApplied || !call.shape.kind().is_write() || call.cancel() {
            return error;
        }
        error.with_effect(call.effect())
    }

    /// Detaches the call if a backend has received it, and drops it otherwise. Returns whether it had begun and has ended here.
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
                let Running { mut call, permit, in_flight } = running;
                let answer = poll_fn(|cx| {
                    let _polling = Polling::on(&core.watched, &state);
                    call.as_mut().poll(cx)
                })
                .await;
                core.answered(&context, answer.as_ref().err());
                drop(answer);
                Running { call, permit, in_flight }.end(&state);
            });
            false
        }
    }

    /// Ends a call that waits when its deadline passes. The timer is created only for a call that waits.
    fn poll_deadline(&mut self, cx: &mut TaskContext<'_>) -> Option<PersistError> {
        match self.deadline.as_mut()?.poll(&self.core.in_flight, cx) {
            Poll::Pending => None,
            Poll::Ready(Expired::Passed) => Some(self.end_early(ErrorKind::Timeout, "the deadline passed")),
            Poll::Ready(Expired::RuntimeEnded) => {
                Some(self.end_early(ErrorKind::Cancelled, "the runtime of the pipeline has ended"))
            }
        }
    }

    fn end_early(&mut self, kind: ErrorKind, why: &'static str) -> PersistError {
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
        // Layers can use tokio timers on any executor of the caller.
        let runtime = Handle::try_current().is_err().then(|| this.core.in_flight.runtime().clone());
        let _entered = runtime.as_ref().map(Handle::enter);
        let polling = Polling::on(&this.core.watched, this.context.call());
        let mut answer = Poll::Pending;
        let polled = this.poll_stage(cx, &mut answer);
        drop(polling);
        match polled {
            // An error without a site comes from the edge.
            Err(error) => {
                let error = this.context.call().stamp(error, CallState::EDGE);
                this.core.answered(&this.context, Some(&error));
                answer = Poll::Ready(Err(error));
            }
            Ok(()) if answer.is_ready() => this.core.answered(&this.context, None),
            Ok(()) => {
                if let Some(expired) = this.poll_deadline(cx) {
                    answer = Poll::Ready(Err(expired));
                }
            }
        }
        answer
    }
}

impl Drop for Execution {
    fn drop(&mut self) {
        let at_work = self.context.call().cursor().load(Relaxed);
        // A detached call records its own end.
        if self.let_go() {
            let call = self.context.call();
            let error = PersistError::new(
                ErrorKind::Cancelled,
                "the caller dropped the call before a backend received it",
            )
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
