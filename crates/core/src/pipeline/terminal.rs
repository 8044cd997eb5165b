//! The terminal service of a stack: creates the admitted call, calls the backend, and completes detached writes.

use std::{
    future::Future,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context as TaskContext, Poll},
};

use tower_service::Service;

use super::{AtSite, BoxFuture, Boxed, InFlight, contract_violation, foreign_call, panicked, put_ready};
use crate::backend::{Admitted, Backend, Capabilities, Counter, RejectedCallRecords};
use crate::change::CommitNotifications;
use crate::{
    Effect, ErrorKind, PersistArgs, PersistError, PersistRequest, PersistResponse, PersistResult, ReadArgs,
    Result,
    context::{AtWork, CallState, Clock},
    operation::by_operation,
    request::ContentLimit,
};

/// A backend as a service. A clone is another reference.
pub(crate) struct Terminal<B> {
    shared: Arc<Shared<B>>,
}

struct Shared<B> {
    backend: B,
    capabilities: Capabilities,
    clock: Arc<dyn Clock>,
    in_flight: Arc<InFlight>,
    index: u8,
}

impl<B: Backend> Terminal<B> {
    pub(crate) fn new(backend: B, clock: Arc<dyn Clock>, in_flight: Arc<InFlight>, index: u8) -> Self {
        let capabilities = backend.capabilities();
        Self { shared: Arc::new(Shared { backend, capabilities, clock, in_flight, index }) }
    }

    pub(crate) fn commit_notifications(&self) -> Option<CommitNotifications> {
        self.shared.backend.commit_notifications()
    }

    pub(crate) fn fingerprint_key(&self) -> Option<crate::operation::FingerprintKey> {
        self.shared.backend.fingerprint_key()
    }

    pub(crate) async fn record_rejected_calls(&self, records: RejectedCallRecords) -> Result<()> {
        self.shared.backend.record_rejected_calls(records).await
    }

    pub(crate) fn waits_in(&self) -> Option<String> {
        self.shared.backend.waits_in()
    }

    pub(crate) async fn close(&self) -> Result<()> {
        self.shared.backend.close().await
    }
}

impl<B> Clone for Terminal<B> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<B: Backend> Service<PersistRequest> for Terminal<B> {
    type Response = PersistResponse;
    type Error = PersistError;
    type Future = TerminalFuture;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: PersistRequest) -> TerminalFuture {
        let state = Arc::clone(request.context.call());
        TerminalFuture {
            index: self.shared.index,
            in_flight: Arc::clone(&self.shared.in_flight),
            call: match self.shared.refusal(&request) {
                _ if self.shared.index > 0 && AtWork::is_on_another(&state) => {
                    Stage::Foreign(foreign_call(CallState::outside(self.shared.index)))
                }
                Some(error) => Stage::Refused(error),
                None => Stage::Ready(Arc::clone(&self.shared).dispatch(request)),
            },
            state,
        }
    }
}

impl<B: Backend> Shared<B> {
    /// Returns the error of a call that the backend must not receive.
    fn refusal(&self, request: &PersistRequest) -> Option<PersistError> {
        let PersistRequest { args, context } = request;
        let call = context.call();
        if let Err(violation) = call.shape.check_args(args) {
            return Some(contract_violation(violation, call, CallState::outside(self.index)));
        }
        if call.is_unguarded() {
            let detail = "the call has a credential, and no layer has accepted it";
            return Some(PersistError::new(ErrorKind::Denied, detail).with_effect(Effect::NotApplied));
        }
        if call.audit().is_some() && !self.capabilities.audit {
            return Some(PersistError::unsupported("an audit log"));
        }
        let unsupported =
            context.idempotency().is_some() && args.kind().is_write() && !self.capabilities.idempotency;
        unsupported.then(|| PersistError::unsupported("an idempotency key"))
    }

    /// Adds the content limit of the backend to the answer of a reservation. A layer that makes content longer lowers it.
    fn with_limit(&self, mut response: PersistResponse) -> PersistResponse {
        if let (PersistResult::Reserve(_), Some(max)) =
            (&response.result, self.capabilities.max_content_bytes)
        {
            response.extensions.insert(ContentLimit(max));
        }
        response
    }

    /// Returns the call of the backend, before its first poll. Each operation has its own box: one future over all operations
    /// would have the size of the largest one.
    fn dispatch(self: Arc<Self>, request: PersistRequest) -> BoxFuture<'static, Result<PersistResponse>> {
        let PersistRequest { args, context } = request;
        if let (PersistArgs::Read(ReadArgs::Changes(read)), Some(scopes)) =
            (&args, &context.call().facts.feed_scopes)
        {
            scopes.record(context.tenant(), &read.scope);
        }
        let now = self.clock.now();
        macro_rules! hand_in {
            ($op:ident, $method:ident) => {{
                let mut call = Boxed::empty();
                call.as_mut().put(async move {
                    let counter = Counter;
                    let reply = self.backend.$method(Admitted::new($op, context, now, &counter)).await?;
                    Ok(self.with_limit(reply.into()))
                });
                call
            }};
        }
        by_operation!(args, hand_in)
    }
}

/// A call of the backend. If it is dropped after it began, a write continues as a task: a timeout layer drops this future, and
/// must not cancel a write that the backend has received.
pub(crate) struct TerminalFuture {
    call: Stage,
    state: Arc<CallState>,
    in_flight: Arc<InFlight>,
    index: u8,
}

enum Stage {
    Refused(PersistError),
    /// The layer outside forwarded a foreign call, of which the error reveals nothing.
    Foreign(PersistError),
    /// Created. The first poll passes it to the backend.
    Ready(BoxFuture<'static, Result<PersistResponse>>),
    Begun(BoxFuture<'static, Result<PersistResponse>>),
    /// Answered or panicked, and never polled again.
    Done,
}

/// Records the effect of a write.
fn settle(state: &CallState, failure: Option<&mut PersistError>) {
    if !state.shape.kind().is_write() {
        return;
    }
    state.settle(match failure {
        None => Effect::Applied,
        Some(error) => {
            let refused = error.kind().is_refusal();
            error.effect_or(if refused { Effect::NotApplied } else { Effect::Unknown })
        }
    });
}

impl Future for TerminalFuture {
    type Output = Result<PersistResponse>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if matches!(this.call, Stage::Foreign(_))
            && let Stage::Foreign(error) = mem::replace(&mut this.call, Stage::Done)
        {
            return Poll::Ready(Err(error));
        }
        let state = &*this.state;
        let outer = CallState::outside(this.index);
        state.cursor().store(this.index, Relaxed);
        // Moved out for the poll: a future that panicked is neither polled nor detached again.
        let error = match mem::replace(&mut this.call, Stage::Done) {
            Stage::Refused(error) => error,
            Stage::Foreign(_) => unreachable!("looked at above"),
            Stage::Ready(_) if state.shape.kind().is_write() && !state.hand_over() => PersistError::new(
                ErrorKind::Cancelled,
                "the caller had dropped the call before the backend received it",
            )
            .with_effect(Effect::NotApplied),
            Stage::Ready(mut call) | Stage::Begun(mut call) => {
                // The answer is large: see the guard of a layer.
                let mut answer = Poll::Pending;
                let at_site = AtSite::new(state, this.index);
                let polled =
                    catch_unwind(AssertUnwindSafe(|| put_ready(&mut answer, call.as_mut().poll(cx))));
                drop(at_site);
                if let Err(payload) = polled {
                    answer = Poll::Ready(Err(panicked(&*payload)));
                }
                match &mut answer {
                    Poll::Pending => {
                        this.call = Stage::Begun(call);
                        return Poll::Pending;
                    }
                    Poll::Ready(Ok(response)) => {
                        settle(state, None);
                        match state.shape.check_result(&response.result, &state.facts.tenant) {
                            Ok(()) => {
                                state.cursor().store(outer, Relaxed);
                                return answer;
                            }
                            Err(violation) => PersistError::new(ErrorKind::ContractViolation, violation),
                        }
                    }
                    Poll::Ready(Err(error)) => {
                        settle(state, Some(error));
                        match answer {
                            Poll::Ready(Err(error)) => error,
                            _ => unreachable!("matched above"),
                        }
                    }
                }
            }
            Stage::Done => panic!("polled after it was ready"),
        };
        state.cursor().store(outer, Relaxed);
        Poll::Ready(Err(state.stamp(error, this.index)))
    }
}

impl Drop for TerminalFuture {
    fn drop(&mut self) {
        if !self.state.shape.kind().is_write() {
            return;
        }
        if let Stage::Begun(call) = mem::replace(&mut self.call, Stage::Done) {
            let (state, detached) = (Arc::clone(&self.state), self.state.detach_write());
            self.in_flight.detach(async move {
                settle(&state, call.await.as_mut().err());
                drop(detached);
            });
        }
    }
}
