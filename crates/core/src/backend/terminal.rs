//! The service at the end of the stack: makes the ticket, calls the backend, sees every write through.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll},
};

use tower_service::Service;

use super::{Admitted, Backend, Capabilities, admitted::Counter};
use crate::{
    Effect, ErrorKind, PersistArgs, PersistError, PersistRequest, PersistResponse, Result, Timestamp,
    context::{Clock, Context},
    pipeline::{InFlight, contract_violation, panicked},
};

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// One backend as a service. A clone is another reference.
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
        let shared = Arc::clone(&self.shared);
        let context = request.context.clone();
        let outer = context.call().cursor().load(std::sync::atomic::Ordering::Relaxed);
        TerminalFuture {
            index: shared.index,
            outer,
            in_flight: Arc::clone(&shared.in_flight),
            call: Some(Box::pin(async move { shared.run(request, outer).await })),
            begun: false,
            context,
        }
    }
}

impl<B: Backend> Shared<B> {
    async fn run(&self, request: PersistRequest, outer: u8) -> Result<PersistResponse> {
        let PersistRequest { args, context } = request;
        let call = Arc::clone(context.call());
        if let Err(what) = call.shape.check_args(&args) {
            return Err(contract_violation(what, &call, outer));
        }
        let kind = args.kind();
        if context.idempotency().is_some() && kind.is_write() && !self.capabilities.idempotency {
            return Err(PersistError::unsupported("an idempotency key"));
        }
        if !kind.is_write() {
            return self.dispatch(args, context, self.clock.now()).await;
        }
        if !call.hand_over() {
            return Err(PersistError::new(
                ErrorKind::Cancelled,
                "its caller had left before it was handed over",
            )
            .with_effect(Effect::NotApplied));
        }
        match self.dispatch(args, context, self.clock.now()).await {
            Ok(response) => {
                call.settle(Effect::Applied);
                Ok(response)
            }
            Err(error) => {
                let refused = error.kind().is_refusal();
                let error = if error.has_effect() {
                    error
                } else {
                    error.with_effect(if refused { Effect::NotApplied } else { Effect::Unknown })
                };
                call.settle(error.effect());
                Err(error)
            }
        }
    }

    async fn dispatch(&self, args: PersistArgs, context: Context, now: Timestamp) -> Result<PersistResponse> {
        let counter = Counter;
        let backend = &self.backend;
        macro_rules! hand_in {
            ($op:ident, $method:ident) => {
                backend.$method(Admitted::new($op, context, now, &counter)).await.map(Into::into)
            };
        }
        match args {
            PersistArgs::Add(op) => hand_in!(op, add),
            PersistArgs::Reserve(op) => hand_in!(op, reserve),
            PersistArgs::UpdateContent(op) => hand_in!(op, update_content),
            PersistArgs::Update(op) => hand_in!(op, update),
            PersistArgs::Delete(op) => hand_in!(op, delete),
            PersistArgs::Batch(op) => hand_in!(op, batch),
            PersistArgs::Read(op) => hand_in!(op, read),
        }
    }
}

/// A call to the backend. Dropped after it began, a write goes on by itself: a time limit *inside* the stack drops
/// this future, and must not abandon what was handed over.
pub(crate) struct TerminalFuture {
    /// Taken out while it is polled, so that one that panicked is never polled again.
    call: Option<BoxFuture<Result<PersistResponse>>>,
    begun: bool,
    context: Context,
    in_flight: Arc<InFlight>,
    index: u8,
    outer: u8,
}

impl Future for TerminalFuture {
    type Output = Result<PersistResponse>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        use std::sync::atomic::Ordering::Relaxed;

        let mut call = self.call.take().expect("polled after it was ready");
        self.begun = true;
        let state = &**self.context.call();
        state.cursor().store(self.index, Relaxed);
        let error = match catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(cx))) {
            Ok(Poll::Pending) => {
                self.call = Some(call);
                return Poll::Pending;
            }
            Ok(Poll::Ready(Ok(response))) => {
                match state.shape.check_result(&response.result, &state.facts.tenant) {
                    Ok(()) => {
                        state.cursor().store(self.outer, Relaxed);
                        return Poll::Ready(Ok(response));
                    }
                    Err(what) => PersistError::new(ErrorKind::ContractViolation, what),
                }
            }
            Ok(Poll::Ready(Err(error))) => error,
            Err(payload) => panicked(&*payload),
        };
        state.cursor().store(self.outer, Relaxed);
        Poll::Ready(Err(error.stamped(self.index, state)))
    }
}

impl Drop for TerminalFuture {
    fn drop(&mut self) {
        if !self.begun || !self.context.kind().is_write() {
            return;
        }
        if let Some(call) = self.call.take() {
            self.in_flight.detach(async move {
                drop(call.await);
            });
        }
    }
}
