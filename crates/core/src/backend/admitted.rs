use std::marker::PhantomData;

use crate::{Context, Operation, Timestamp, backend::PendingAuditEntry, context::Idempotency};

/// The pipeline's ticket: this operation, once, to this backend, now.
///
/// It has no public constructor, so that nothing but a pipeline can call a backend. Its lifetime ends with the
/// call, so that it cannot be kept and shown to another backend; one that works on another thread takes it apart
/// with [`into_parts`](Self::into_parts) first. A backend that wraps another hands its ticket on.
#[derive(Debug)]
pub struct Admitted<'t, O> {
    op: O,
    context: Context,
    now: Timestamp,
    audit: Option<PendingAuditEntry>,
    /// Invariant in `'t`: a ticket can neither be stretched nor shrunk into another call.
    ticket: PhantomData<fn(&'t ()) -> &'t ()>,
}

/// What a ticket borrows from: a local of the dispatching function.
pub(crate) struct Counter;

impl<'t, O: Operation> Admitted<'t, O> {
    pub(crate) fn new(op: O, context: Context, now: Timestamp, _counter: &'t Counter) -> Self {
        let audit = if O::KIND.is_write() {
            context.call().audit().map(|draft| PendingAuditEntry::new(draft, &context))
        } else {
            None
        };
        Self { op, context, now, audit, ticket: PhantomData }
    }

    /// The operation.
    pub const fn op(&self) -> &O {
        &self.op
    }

    /// The facts of the call: tenant, idempotency, deadline.
    pub const fn context(&self) -> &Context {
        &self.context
    }

    /// The idempotency key and what it stands for.
    #[must_use]
    pub fn idempotency(&self) -> Option<&Idempotency> {
        self.context.idempotency()
    }

    /// The moment of this attempt, by the clock of the pipeline.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// Takes what the log of who did what is to say of it, where it is to say something: for a backend that claims
    /// [`Capabilities::audit`](crate::Capabilities::audit), before it takes the ticket apart.
    #[must_use]
    pub const fn take_audit(&mut self) -> Option<PendingAuditEntry> {
        self.audit.take()
    }

    /// Changes the operation of a ticket that is handed on, in a backend that wraps another.
    #[must_use]
    pub fn map(self, change: impl FnOnce(O) -> O) -> Self {
        Self { op: change(self.op), ..self }
    }

    /// The operation, the facts of the call and the moment, for a backend that works elsewhere. The ticket is gone
    /// then.
    #[must_use]
    pub fn into_parts(self) -> (O, Context, Timestamp) {
        (self.op, self.context, self.now)
    }
}
