use std::marker::PhantomData;

use crate::{Context, Operation, Timestamp, backend::PendingAuditEntry, context::Idempotency};

/// An admitted call: one operation that has passed every layer, for one backend, once.
///
/// Only a pipeline can create one, so nothing else can call a backend. Its lifetime ends with the call, so a backend
/// cannot keep it and pass it to another backend. A backend that works on another thread first takes it apart with
/// [`into_parts`](Self::into_parts). A backend that wraps another backend passes it on.
#[derive(Debug)]
pub struct Admitted<'t, O> {
    op: O,
    context: Context,
    now: Timestamp,
    audit: Option<PendingAuditEntry>,
    /// Invariant in `'t`, so that the lifetime cannot be extended or shortened to that of another call.
    lifetime: PhantomData<fn(&'t ()) -> &'t ()>,
}

/// The value that an [`Admitted`] borrows from: a local variable of the dispatching function.
pub(crate) struct Counter;

impl<'t, O: Operation> Admitted<'t, O> {
    pub(crate) fn new(op: O, context: Context, now: Timestamp, _counter: &'t Counter) -> Self {
        let audit = if O::KIND.is_write() {
            context.call().audit().map(|draft| PendingAuditEntry::new(draft, &context))
        } else {
            None
        };
        Self { op, context, now, audit, lifetime: PhantomData }
    }

    /// Returns the operation.
    pub const fn op(&self) -> &O {
        &self.op
    }

    /// Returns the context of the call: tenant, idempotency key, deadline.
    pub const fn context(&self) -> &Context {
        &self.context
    }

    /// Returns the idempotency key and its fingerprint, if the call has one.
    #[must_use]
    pub fn idempotency(&self) -> Option<&Idempotency> {
        self.context.idempotency()
    }

    /// Returns the time of this attempt, by the clock of the pipeline.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// Takes the pending audit record of the call, if the pipeline has an audit log. A backend that claims
    /// [`Capabilities::audit`](crate::Capabilities::audit) calls this before [`into_parts`](Self::into_parts).
    #[must_use]
    pub const fn take_audit(&mut self) -> Option<PendingAuditEntry> {
        self.audit.take()
    }

    /// Replaces the operation, in a backend that wraps another backend and passes the call on.
    #[must_use]
    pub fn map(self, change: impl FnOnce(O) -> O) -> Self {
        Self { op: change(self.op), ..self }
    }

    /// Returns the operation, the context and the time of the attempt, for a backend that works on another thread.
    #[must_use]
    pub fn into_parts(self) -> (O, Context, Timestamp) {
        (self.op, self.context, self.now)
    }
}
