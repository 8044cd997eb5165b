//! The shape of an admitted call: its kind and its subject. Each boundary of a layer is checked against it.

use crate::{
    MessageId, OpKind, TenantId, ThreadId,
    audit_entry::AuditItem,
    operation::{
        Batch, Batched, PersistArgs, PersistResult, SessionSubject,
        subject::{Asked, Subject},
    },
};

/// The kind and the subject of a call, and of each item of a batch.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    subject: Subject,
    items: Box<[Self]>,
}

impl Shape {
    pub(crate) fn of(args: &PersistArgs) -> Self {
        let items = match args {
            PersistArgs::Batch(batch) => Self::of_items(&batch.items),
            _ => Box::default(),
        };
        Self { subject: Subject::of(args), items }
    }

    /// Returns the shape of a call that could not be created, because its ids are not valid.
    pub(crate) fn of_none(kind: OpKind) -> Self {
        Self { subject: Subject::of_none(kind), items: Box::default() }
    }

    fn of_items(items: &[PersistArgs]) -> Box<[Self]> {
        let mut shapes: Box<[Self]> = items.iter().map(Self::of).collect();
        // Later items of a batch use the generated id of an earlier item too.
        let minted: Vec<MessageId> =
            items.iter().filter_map(|item| item.facts().minted_id.cloned()).collect();
        for Self { subject, .. } in &mut shapes {
            subject.minted |= subject.message.as_ref().is_some_and(|id| minted.contains(id));
        }
        shapes
    }

    pub(crate) const fn kind(&self) -> OpKind {
        self.subject.kind
    }

    pub(crate) const fn thread(&self) -> Option<&ThreadId> {
        self.subject.thread.as_ref()
    }

    pub(crate) const fn message(&self) -> Option<&MessageId> {
        self.subject.message.as_ref()
    }

    /// Returns the audit items of a call that no audit layer has seen.
    pub(crate) fn audited(&self) -> Vec<AuditItem> {
        let items = if self.items.is_empty() { std::slice::from_ref(self) } else { &self.items };
        let item = |shape: &Self| AuditItem {
            operation: shape.subject.member.unwrap_or(shape.subject.kind.as_str()).into(),
            mode: None,
            thread: shape.subject.thread.clone(),
            messages: shape.subject.message.clone().into_iter().collect(),
            revision: None,
            of: match &shape.subject.consumer {
                Some(consumer) => Some(consumer.to_string()),
                None => shape.subject.session.as_ref().and_then(SessionSubject::name),
            },
        };
        items.iter().map(item).collect()
    }

    pub(crate) const fn subject(&self) -> &Subject {
        &self.subject
    }

    /// Returns the call that an answer for this tenant must belong to.
    pub(crate) const fn asked<'a>(&'a self, tenant: &'a TenantId) -> Asked<'a> {
        Asked { tenant, subject: &self.subject, in_replay: false }
    }

    /// Checks that a layer forwarded an operation of the kind that it received.
    #[inline]
    pub(crate) fn check_kind(&self, kind: OpKind) -> Result<(), &'static str> {
        self.subject.check_kind(kind)
    }

    /// Checks that a layer forwarded the operation that it received. The error says what the layer changed.
    pub(crate) fn check_args(&self, args: &PersistArgs) -> Result<(), &'static str> {
        args.check_subject(&self.subject)?;
        match args {
            PersistArgs::Batch(batch) => self.check_batch(batch),
            _ => Ok(()),
        }
    }

    /// Checks that a layer forwarded the items of the batch that it received.
    pub(crate) fn check_batch(&self, batch: &Batch) -> Result<(), &'static str> {
        if batch.items.len() != self.items.len() {
            return Err("forwarded a batch of another length than it received");
        }
        self.items.iter().zip(&batch.items).try_for_each(|(shape, item)| shape.check_args(item))
    }

    /// Checks that an answer belongs to this call. The error says what is wrong.
    pub(crate) fn check_result(&self, result: &PersistResult, tenant: &TenantId) -> Result<(), &'static str> {
        self.check(result, tenant, false)
    }

    fn check(&self, result: &PersistResult, tenant: &TenantId, in_replay: bool) -> Result<(), &'static str> {
        result.check_answer(&Asked { in_replay, ..self.asked(tenant) })?;
        match result {
            PersistResult::Batch(batched) => self.check_batched(batched, tenant),
            _ => Ok(()),
        }
    }

    /// Checks that the answers to the items of a batch belong to them.
    pub(crate) fn check_batched(&self, batched: &Batched, tenant: &TenantId) -> Result<(), &'static str> {
        if batched.outputs.len() != self.items.len() {
            return Err("answered a batch with another number of outputs than it has items");
        }
        let mut pairs = self.items.iter().zip(&batched.outputs);
        pairs.try_for_each(|(shape, output)| shape.check(output, tenant, batched.deduplicated))
    }
}
