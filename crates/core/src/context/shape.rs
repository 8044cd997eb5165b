//! The shape of an admitted call: its kind and its subject. Each boundary of a layer is checked against it.

use crate::{
    Message, MessageId, OpKind, TenantId, ThreadId,
    audit_entry::AuditItem,
    id::ConsumerName,
    operation::{Addressed as _, PersistArgs, PersistResult, Reach, SessionSubject, facts::Asked},
    thread::ThreadSummary,
};

/// The kind and the subject of a call, and of each item of a batch.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    kind: OpKind,
    /// The operation within its family, such as one read or one thread operation.
    member: Option<&'static str>,
    /// Whether the call addresses every tenant.
    is_of_store: bool,
    thread: Option<ThreadId>,
    message: Option<MessageId>,
    /// The consumer of the call.
    consumer: Option<ConsumerName>,
    /// The agent, runtime and run of the call.
    session: Option<SessionSubject>,
    /// Whether the id was generated for this call. A replay then answers with another id.
    minted: bool,
    items: Box<[Self]>,
}

impl Shape {
    pub(crate) fn of(args: &PersistArgs) -> Self {
        let facts = args.facts();
        let items = match args {
            PersistArgs::Batch(batch) => Self::of_items(&batch.items),
            _ => Box::default(),
        };
        Self {
            kind: args.kind(),
            member: args.member(),
            is_of_store: facts.reach == Some(Reach::Store),
            thread: args.thread().cloned(),
            message: args.message().cloned(),
            consumer: facts.consumer.cloned(),
            session: facts.session,
            minted: facts.minted_id.is_some(),
            items,
        }
    }

    /// Returns the shape of a call that could not be created, because its ids are not valid.
    pub(crate) fn of_none(kind: OpKind) -> Self {
        Self {
            kind,
            member: None,
            is_of_store: false,
            thread: None,
            message: None,
            consumer: None,
            session: None,
            minted: false,
            items: Box::default(),
        }
    }

    fn of_items(items: &[PersistArgs]) -> Box<[Self]> {
        let mut shapes: Box<[Self]> = items.iter().map(Self::of).collect();
        // Later items of a batch use the generated id of an earlier item too.
        let minted: Vec<MessageId> =
            items.iter().filter_map(|item| item.facts().minted_id.cloned()).collect();
        for shape in &mut shapes {
            shape.minted |= shape.message.as_ref().is_some_and(|id| minted.contains(id));
        }
        shapes
    }

    pub(crate) const fn kind(&self) -> OpKind {
        self.kind
    }

    pub(crate) const fn thread(&self) -> Option<&ThreadId> {
        self.thread.as_ref()
    }

    pub(crate) const fn message(&self) -> Option<&MessageId> {
        self.message.as_ref()
    }

    /// Returns the audit items of a call that no audit layer has seen.
    pub(crate) fn audited(&self) -> Vec<AuditItem> {
        let items = if self.items.is_empty() { std::slice::from_ref(self) } else { &self.items };
        let item = |shape: &Self| AuditItem {
            operation: shape.member.unwrap_or(shape.kind.as_str()).into(),
            mode: None,
            thread: shape.thread.clone(),
            messages: shape.message.clone().into_iter().collect(),
            revision: None,
            of: match &shape.consumer {
                Some(consumer) => Some(consumer.to_string()),
                None => shape.session.as_ref().and_then(SessionSubject::name),
            },
        };
        items.iter().map(item).collect()
    }

    /// Checks that a layer forwarded the operation that it received. The error says what the layer changed.
    pub(crate) fn check_args(&self, args: &PersistArgs) -> Result<(), &'static str> {
        if args.kind() != self.kind || args.member() != self.member {
            return Err("forwarded another operation than it received");
        }
        if let PersistArgs::Batch(batch) = args {
            if batch.items.len() != self.items.len() {
                return Err("forwarded a batch of another length than it received");
            }
            return self.items.iter().zip(&batch.items).try_for_each(|(shape, item)| shape.check_args(item));
        }
        let facts = args.facts();
        if (facts.reach == Some(Reach::Store)) != self.is_of_store {
            return Err("forwarded a call for other tenants than it received");
        }
        if args.thread() != self.thread.as_ref() {
            return Err("forwarded another thread than it received");
        }
        if args.message() != self.message.as_ref() {
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

    /// Checks that an answer belongs to this call. The error says what is wrong.
    pub(crate) fn check_result(&self, result: &PersistResult, tenant: &TenantId) -> Result<(), &'static str> {
        self.check(result, tenant, false)
    }

    fn check(&self, result: &PersistResult, tenant: &TenantId, in_replay: bool) -> Result<(), &'static str> {
        if result.kind() != self.kind || result.member() != self.member {
            return Err("answered another operation than it was asked");
        }
        if let PersistResult::Batch(batched) = result {
            if batched.outputs.len() != self.items.len() {
                return Err("answered a batch with another number of outputs than it has items");
            }
            let replayed = batched.deduplicated;
            let mut pairs = self.items.iter().zip(&batched.outputs);
            return pairs.try_for_each(|(shape, output)| shape.check(output, tenant, replayed));
        }
        let answer = result.facts();
        let asked = Asked { tenant, thread: self.thread.as_ref(), is_of_store: self.is_of_store };
        // A replay of a call with a generated id answers with the id of the first call.
        let id_may_differ = self.minted && (in_replay || answer.is_deduplicated());
        let is_same_id =
            |id: &MessageId| id_may_differ || self.message.as_ref().is_none_or(|asked| asked == id);
        if answer.thread().is_some_and(|thread| self.thread.as_ref() != Some(thread)) {
            return Err("answered for another thread than it was asked");
        }
        if !answer.message().is_none_or(is_same_id) {
            return Err("answered for another message id than it was asked");
        }
        let matches = |message: &Message| {
            message.tenant == *tenant && asked.is_for(&message.thread) && is_same_id(&message.id)
        };
        if !answer.messages().iter().all(matches) {
            return Err("answered with a message of another tenant, thread or id than it was asked");
        }
        let matches = |summary: &ThreadSummary| summary.tenant == *tenant && asked.is_for(&summary.thread);
        if !answer.summaries().iter().all(matches) {
            return Err("answered with a thread of another tenant or id than it was asked");
        }
        if answer.consumer() != self.consumer.as_ref() {
            return Err("answered for another consumer than it was asked");
        }
        if !answer.answers(self.session.as_ref()) {
            return Err("answered for another agent, runtime or run than it was asked");
        }
        answer.check(&asked)
    }
}
