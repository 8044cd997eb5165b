//! The subject of a call: no layer may change it, and the answer must be about it.

use super::{
    PersistArgs, Reach,
    facts::{AnswerFacts, StatesFacts},
    session::SessionSubject,
};
use crate::{Message, MessageId, OpKind, TenantId, ThreadId, id::ConsumerName, thread::ThreadSummary};

/// The error of a layer that forwarded another operation.
pub(super) const OTHER_OPERATION: &str = "forwarded another operation than it received";

/// The error of a layer that answered another operation.
pub(super) const OTHER_ANSWER: &str = "answered another operation than it was asked";

/// An operation, and what it addresses.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    pub(crate) kind: OpKind,
    /// The operation within its family, such as one read or one thread operation.
    pub(crate) member: Option<&'static str>,
    /// Whether the operation addresses every tenant.
    is_of_store: bool,
    pub(crate) thread: Option<ThreadId>,
    pub(crate) message: Option<MessageId>,
    pub(crate) consumer: Option<ConsumerName>,
    /// The agent, runtime and run.
    pub(crate) session: Option<SessionSubject>,
    /// Whether the id was generated for this call. A replay answers with the id of the first call.
    pub(crate) minted: bool,
}

impl Subject {
    pub(crate) fn of(args: &PersistArgs) -> Self {
        let operation = args.operation();
        let facts = operation.facts();
        Self {
            kind: args.kind(),
            member: args.member(),
            is_of_store: facts.reach == Some(Reach::Store),
            thread: operation.thread().cloned(),
            message: operation.message().cloned(),
            consumer: facts.consumer.cloned(),
            session: facts.session,
            minted: facts.minted_id.is_some(),
        }
    }

    /// Returns the subject of a call that could not be created, because its ids are not valid.
    pub(crate) const fn of_none(kind: OpKind) -> Self {
        Self {
            kind,
            member: None,
            is_of_store: false,
            thread: None,
            message: None,
            consumer: None,
            session: None,
            minted: false,
        }
    }

    /// Checks that a layer forwarded an operation of this kind.
    #[inline]
    pub(crate) fn check_kind(&self, kind: OpKind) -> Result<(), &'static str> {
        if kind == self.kind { Ok(()) } else { Err(OTHER_OPERATION) }
    }

    /// Checks that a layer forwarded an operation with this subject. The error says what the layer changed.
    #[inline]
    pub(crate) fn check<O: StatesFacts>(&self, operation: &O) -> Result<(), &'static str> {
        let facts = operation.facts();
        if (facts.reach == Some(Reach::Store)) != self.is_of_store {
            return Err("forwarded a call for other tenants than it received");
        }
        if operation.thread() != self.thread.as_ref() {
            return Err("forwarded another thread than it received");
        }
        if operation.message() != self.message.as_ref() {
            return Err("forwarded another message id than it received");
        }
        if facts.session != self.session {
            return Err("forwarded another agent, runtime or run than it received");
        }
        if facts.consumer != self.consumer.as_ref() {
            return Err("forwarded another consumer than it received");
        }
        Ok(())
    }
}

/// The call that an answer belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// The tenant of the caller.
    pub(crate) tenant: &'a TenantId,
    pub(crate) subject: &'a Subject,
    /// Whether the answer is part of a batch that is a replay.
    pub(crate) in_replay: bool,
}

impl Asked<'_> {
    /// Whether the call asks for this thread.
    pub(crate) fn is_for(&self, thread: &ThreadId) -> bool {
        self.subject.thread.as_ref().is_none_or(|asked| asked == thread)
    }

    /// Whether the call asks for rows of this tenant.
    pub(crate) fn is_of(&self, tenant: &TenantId) -> bool {
        self.subject.is_of_store || self.tenant == tenant
    }

    /// Checks that an answer belongs to this call. The error says what is wrong.
    #[inline]
    pub(crate) fn check<A: AnswerFacts>(&self, answer: &A) -> Result<(), &'static str> {
        let Subject { kind: _, member: _, is_of_store: _, thread, message, consumer, session, minted } =
            self.subject;
        let id_may_differ = *minted && (self.in_replay || answer.is_deduplicated());
        let is_same_id = |id: &MessageId| id_may_differ || message.as_ref().is_none_or(|asked| asked == id);
        if answer.thread().is_some_and(|answered| thread.as_ref() != Some(answered)) {
            return Err("answered for another thread than it was asked");
        }
        if !answer.message().is_none_or(is_same_id) {
            return Err("answered for another message id than it was asked");
        }
        let matches = |message: &Message| {
            message.tenant == *self.tenant && self.is_for(&message.thread) && is_same_id(&message.id)
        };
        if !answer.messages().iter().all(matches) {
            return Err("answered with a message of another tenant, thread or id than it was asked");
        }
        let matches =
            |summary: &ThreadSummary| summary.tenant == *self.tenant && self.is_for(&summary.thread);
        if !answer.summaries().iter().all(matches) {
            return Err("answered with a thread of another tenant or id than it was asked");
        }
        if answer.consumer() != consumer.as_ref() {
            return Err("answered for another consumer than it was asked");
        }
        if !answer.answers(session.as_ref()) {
            return Err("answered for another agent, runtime or run than it was asked");
        }
        answer.check(self)
    }
}
