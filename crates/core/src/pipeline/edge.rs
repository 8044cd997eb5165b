//! The caller's side of a call: admission, the deadline, and the promise that what was handed over is seen through.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context as TaskContext, Poll, ready},
    time::Instant,
};

use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Sleep, sleep_until},
};

use super::{Core, core::closed, erased::BoxFuture, in_flight::Ticket, validate};
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
    stage: Stage,
    deadline: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

enum Stage {
    Start(PersistArgs),
    Waiting(PersistArgs, BoxFuture<'static, Result<OwnedSemaphorePermit>>),
    Running(Running),
    Done,
}

struct Running {
    call: BoxFuture<'static, Result<PersistResponse>>,
    _slot: OwnedSemaphorePermit,
    _ticket: Ticket,
}

impl Execution {
    pub(super) fn new(core: Arc<Core>, context: Context, args: PersistArgs) -> Self {
        let deadline = context.deadline();
        Self { core, context, stage: Stage::Start(args), deadline, timer: None }
    }

    /// Lets the call in, or says why not. `Ok(None)` when it has to wait.
    fn admit(&mut self, args: PersistArgs) -> Result<()> {
        validate::check(&args)?;
        if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Err(PersistError::new(
                ErrorKind::Timeout,
                "the deadline had passed before the call began",
            )
            .with_effect(Effect::NotApplied));
        }
        let lane = self.core.gate.lane(args.kind().is_write());
        match lane.try_enter() {
            Some(slot) => self.begin(args, slot),
            None => {
                let core = Arc::clone(&self.core);
                let is_write = args.kind().is_write();
                let wait = Box::pin(async move { core.gate.lane(is_write).enter().await });
                self.stage = Stage::Waiting(args, wait);
                Ok(())
            }
        }
    }

    fn begin(&mut self, args: PersistArgs, slot: OwnedSemaphorePermit) -> Result<()> {
        let ticket = self.core.in_flight.enter().ok_or_else(closed)?;
        let call = self.core.stack.run(PersistRequest { args, context: self.context.clone() });
        self.stage = Stage::Running(Running { call, _slot: slot, _ticket: ticket });
        Ok(())
    }

    fn poll_stage(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<PersistResponse>> {
        loop {
            // Taken out while it is polled: a future that panicked is neither polled nor detached again.
            match std::mem::replace(&mut self.stage, Stage::Done) {
                Stage::Start(args) => self.admit(args)?,
                Stage::Waiting(args, mut wait) => match wait.as_mut().poll(cx) {
                    Poll::Ready(slot) => self.begin(args, slot?)?,
                    Poll::Pending => {
                        self.stage = Stage::Waiting(args, wait);
                        return Poll::Pending;
                    }
                },
                Stage::Running(mut running) => match running.call.as_mut().poll(cx) {
                    Poll::Ready(answer) => return Poll::Ready(answer),
                    Poll::Pending => {
                        self.stage = Stage::Running(running);
                        return Poll::Pending;
                    }
                },
                Stage::Done => panic!("a call was polled after it had answered"),
            }
        }
    }

    /// Lets the call go: on by itself when something was handed over, away otherwise.
    fn let_go(&mut self) {
        if let Stage::Running(running) = std::mem::replace(&mut self.stage, Stage::Done)
            && !self.context.call().cancel()
        {
            self.core.in_flight.detach(async move {
                let Running { call, _slot, _ticket } = running;
                drop(call.await);
            });
        }
    }

    fn timed_out(&mut self) -> PersistError {
        let call = Arc::clone(self.context.call());
        let at_work = call.cursor().load(Relaxed);
        let effect = call.effect();
        self.let_go();
        PersistError::new(ErrorKind::Timeout, "the deadline passed")
            .with_effect(effect)
            .stamped(at_work, &call)
    }
}

impl Future for Execution {
    type Output = Result<PersistResponse>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        match this.poll_stage(cx) {
            Poll::Ready(Ok(response)) => return Poll::Ready(Ok(response)),
            // One that has no site yet was refused here.
            Poll::Ready(Err(error)) => {
                return Poll::Ready(Err(error.stamped(CallState::EDGE, this.context.call())));
            }
            Poll::Pending => {}
        }
        // A timer is made only for a call that has to wait.
        let Some(deadline) = this.deadline else { return Poll::Pending };
        let timer = this.timer.get_or_insert_with(|| {
            let _runtime = this.core.in_flight.runtime().enter();
            Box::pin(sleep_until(deadline.into()))
        });
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(this.timed_out()))
    }
}

impl Drop for Execution {
    fn drop(&mut self) {
        self.let_go();
    }
}

impl fmt::Debug for Execution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Execution").field("context", &self.context).finish_non_exhaustive()
    }
}
