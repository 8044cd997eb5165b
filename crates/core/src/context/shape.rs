//! The shape of an admitted call: its kind and its subject. Each boundary of a layer is checked against it.

use crate::{
    AgentId, Message, MessageId, OpKind, ReadArgs, TenantId, ThreadId,
    audit_entry::{AuditEntry, AuditItem},
    change::{Change, ChangeScope},
    id::ConsumerName,
    operation::{
        Add, Added, Addressed, ContentUpdated, Delete, Deleted, PersistArgs, PersistResult, ReadResult,
        Reserve, Reserved, SessionSubject, TakenMessage, ThreadResult, Update, UpdateContent, Updated,
    },
};

/// The kind and the subject of a call, and of each item of a batch.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    kind: OpKind,
    /// The operation within its family, such as one read or one thread operation.
    member: Option<&'static str>,
    /// Whether the call reads the changes of every tenant.
    every_tenant: bool,
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
        let (member, minted, items) = match args {
            PersistArgs::Add(add) => (None, add.minted, Box::default()),
            PersistArgs::Reserve(reserve) => (None, reserve.minted, Box::default()),
            PersistArgs::Batch(batch) => (None, false, Self::of_items(&batch.items)),
            PersistArgs::Thread(thread) => (Some(thread.as_str()), false, Box::default()),
            PersistArgs::Read(read) => (Some(read.as_str()), false, Box::default()),
            PersistArgs::Consumer(consumer) => (Some(consumer.as_str()), false, Box::default()),
            PersistArgs::Session(session) => (Some(session.as_str()), false, Box::default()),
            PersistArgs::Replica(replica) => (Some(replica.as_str()), false, Box::default()),
            PersistArgs::UpdateContent(_)
            | PersistArgs::Update(_)
            | PersistArgs::Delete(_)
            | PersistArgs::Import(_) => (None, false, Box::default()),
        };
        Self {
            kind: args.kind(),
            member,
            every_tenant: is_of_every_tenant(args),
            thread: args.thread().cloned(),
            message: args.message().cloned(),
            consumer: consumer(args).cloned(),
            session: session(args),
            minted,
            items,
        }
    }

    /// Returns the shape of a call that could not be created, because its ids are not valid.
    pub(crate) fn of_none(kind: OpKind) -> Self {
        Self {
            kind,
            member: None,
            every_tenant: false,
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
        let minted: Vec<MessageId> = items.iter().filter_map(PersistArgs::minted_id).cloned().collect();
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
        if args.kind() != self.kind {
            return Err("forwarded another operation than it received");
        }
        match args {
            PersistArgs::Add(Add { thread, id, .. })
            | PersistArgs::Reserve(Reserve { thread, id, .. })
            | PersistArgs::UpdateContent(UpdateContent { thread, id, .. })
            | PersistArgs::Update(Update { thread, id, .. })
            | PersistArgs::Delete(Delete { thread, id, .. }) => {
                self.check_thread(thread)?;
                if self.message.as_ref() != Some(id) {
                    return Err("forwarded another message id than it received");
                }
                Ok(())
            }
            PersistArgs::Batch(batch) => {
                if batch.items.len() != self.items.len() {
                    return Err("forwarded a batch of another length than it received");
                }
                self.items.iter().zip(&batch.items).try_for_each(|(shape, item)| shape.check_args(item))
            }
            PersistArgs::Import(import) => self.check_thread(&import.thread),
            PersistArgs::Thread(thread) => {
                if Some(thread.as_str()) != self.member {
                    return Err("forwarded another operation on a thread than it received");
                }
                thread.thread().map_or(Ok(()), |thread| self.check_thread(thread))
            }
            PersistArgs::Read(read) => {
                if Some(read.as_str()) != self.member {
                    return Err("forwarded another read than it received");
                }
                if is_of_every_tenant(args) != self.every_tenant {
                    return Err("forwarded a read of other tenants than it received");
                }
                if read.thread() != self.thread.as_ref() {
                    return Err("forwarded another thread than it received");
                }
                if read.message() != self.message.as_ref() {
                    return Err("forwarded another message id than it received");
                }
                self.check_same_session(args)?;
                self.check_same_consumer(args)
            }
            PersistArgs::Session(operation) => {
                if Some(operation.as_str()) != self.member {
                    return Err("forwarded another operation on sessions than it received");
                }
                if operation.thread() != self.thread.as_ref() {
                    return Err("forwarded another thread than it received");
                }
                self.check_same_session(args)
            }
            PersistArgs::Replica(operation) => {
                if Some(operation.as_str()) != self.member {
                    return Err("forwarded another replication operation than it received");
                }
                Ok(())
            }
            PersistArgs::Consumer(operation) => {
                if Some(operation.as_str()) != self.member {
                    return Err("forwarded another operation of a consumer than it received");
                }
                self.check_same_consumer(args)
            }
        }
    }

    fn check_same_consumer(&self, args: &PersistArgs) -> Result<(), &'static str> {
        if consumer(args) == self.consumer.as_ref() {
            Ok(())
        } else {
            Err("forwarded another consumer than it received")
        }
    }

    fn check_same_session(&self, args: &PersistArgs) -> Result<(), &'static str> {
        if session(args) == self.session {
            Ok(())
        } else {
            Err("forwarded another agent, runtime or run than it received")
        }
    }

    fn check_thread(&self, thread: &ThreadId) -> Result<(), &'static str> {
        if self.thread.as_ref() == Some(thread) {
            Ok(())
        } else {
            Err("forwarded another thread than it received")
        }
    }

    /// Checks that an answer belongs to this call. The error says what is wrong.
    pub(crate) fn check_result(&self, result: &PersistResult, tenant: &TenantId) -> Result<(), &'static str> {
        self.check(result, tenant, false)
    }

    fn check(&self, result: &PersistResult, tenant: &TenantId, in_replay: bool) -> Result<(), &'static str> {
        if result.kind() != self.kind {
            return Err("answered another operation than it was asked");
        }
        match result {
            PersistResult::Add(Added { message, deduplicated })
            | PersistResult::Reserve(Reserved { message, deduplicated }) => {
                let id_may_differ = self.minted && (in_replay || *deduplicated);
                self.check_subject(&message.thread, &message.id, id_may_differ)?;
                if message.tenant != *tenant {
                    return Err("answered with a message of another tenant");
                }
                Ok(())
            }
            PersistResult::UpdateContent(ContentUpdated { thread, id, .. })
            | PersistResult::Update(Updated { thread, id, .. })
            | PersistResult::Delete(Deleted { thread, id, .. }) => {
                self.check_subject(thread, id, self.minted && in_replay)
            }
            PersistResult::Batch(batched) => {
                if batched.outputs.len() != self.items.len() {
                    return Err("answered a batch with another number of outputs than it has items");
                }
                let replayed = batched.deduplicated;
                self.items
                    .iter()
                    .zip(&batched.outputs)
                    .try_for_each(|(shape, output)| shape.check(output, tenant, replayed))
            }
            PersistResult::Import(imported) => self.check_answered(&imported.thread),
            PersistResult::Thread(thread) => {
                if Some(thread.as_str()) != self.member {
                    return Err("answered another operation on a thread than it was asked");
                }
                if let ThreadResult::TakeLast(taken) = thread {
                    check_taken(taken, tenant)?;
                }
                thread.thread().map_or(Ok(()), |thread| self.check_answered(thread))
            }
            PersistResult::Read(read) => self.check_read(read, tenant),
            PersistResult::Session(answer) => {
                if Some(answer.as_str()) != self.member {
                    return Err("answered another operation on sessions than it was asked");
                }
                if answer.thread() != self.thread.as_ref() {
                    return Err("answered for another thread than it was asked");
                }
                if self.session.as_ref().is_some_and(|asked| answer.answers(asked)) {
                    Ok(())
                } else {
                    Err("answered for another agent, runtime or run than it was asked")
                }
            }
            PersistResult::Replica(answer) => {
                if Some(answer.as_str()) != self.member {
                    return Err("answered another replication operation than it was asked");
                }
                Ok(())
            }
            PersistResult::Consumer(answer) => {
                if Some(answer.as_str()) != self.member {
                    return Err("answered another operation of a consumer than it was asked");
                }
                self.check_consumer(answer.consumer())
            }
        }
    }

    fn check_answered(&self, thread: &ThreadId) -> Result<(), &'static str> {
        if self.thread.as_ref() == Some(thread) {
            Ok(())
        } else {
            Err("answered for another thread than it was asked")
        }
    }

    fn check_consumer(&self, consumer: &ConsumerName) -> Result<(), &'static str> {
        if self.consumer.as_ref() == Some(consumer) {
            Ok(())
        } else {
            Err("answered for another consumer than it was asked")
        }
    }

    fn check_agent(&self, agent: &AgentId, thread: &ThreadId) -> Result<(), &'static str> {
        self.check_answered(thread)?;
        if self.session == Some(SessionSubject::of_agent(agent.clone())) {
            Ok(())
        } else {
            Err("answered for another agent than it was asked")
        }
    }

    fn check_subject(
        &self,
        thread: &ThreadId,
        id: &MessageId,
        id_may_differ: bool,
    ) -> Result<(), &'static str> {
        self.check_answered(thread)?;
        if !id_may_differ && self.message.as_ref() != Some(id) {
            return Err("answered for another message id than it was asked");
        }
        Ok(())
    }

    fn check_read(&self, result: &ReadResult, tenant: &TenantId) -> Result<(), &'static str> {
        if Some(result.as_str()) != self.member {
            return Err("answered another read than it was asked");
        }
        let matches = |message: &Message| {
            message.tenant == *tenant
                && self.thread.as_ref().is_none_or(|thread| message.thread == *thread)
                && self.message.as_ref().is_none_or(|id| message.id == *id)
        };
        let is_asked_for = |thread: &ThreadId| self.thread.as_ref().is_none_or(|asked| asked == thread);
        match result {
            ReadResult::Page(page) => self.check_answered(&page.thread)?,
            ReadResult::PlanPrune(plan) => self.check_answered(&plan.thread)?,
            ReadResult::Aliases(list) => self.check_answered(&list.thread)?,
            ReadResult::Changes(changes) => {
                let matches = |change: &Change| {
                    (self.every_tenant || change.tenant == *tenant) && is_asked_for(&change.thread)
                };
                if !changes.changes.iter().all(matches) {
                    return Err("answered with a change of another tenant or thread than it was asked");
                }
            }
            ReadResult::Search(found) => {
                if !found.hits.iter().map(|hit| &hit.thread).chain(&found.damaged).all(is_asked_for) {
                    return Err("answered with a message of another thread than it was asked");
                }
            }
            ReadResult::Audit(page) => {
                let matches =
                    |entry: &AuditEntry| {
                        (self.every_tenant || entry.record.tenant == *tenant)
                            && entry.record.items.iter().all(|item| {
                                self.thread.is_none() || item.thread.as_ref() == self.thread.as_ref()
                            })
                    };
                if !page.entries.iter().all(matches) {
                    return Err("answered with an audit entry of another tenant or thread than it was asked");
                }
            }
            ReadResult::Cursor(cursor) => self.check_consumer(&cursor.consumer)?,
            ReadResult::Quarantined(list) => self.check_consumer(&list.consumer)?,
            ReadResult::Resolve(resolved) => self.check_agent(&resolved.agent, &resolved.thread)?,
            ReadResult::Attempts(list) => self.check_agent(&list.agent, &list.thread)?,
            ReadResult::Get(_)
            | ReadResult::OpenReservations(_)
            | ReadResult::Thread(_)
            | ReadResult::Threads(_)
            | ReadResult::Purgeable(_)
            | ReadResult::Tenants(_)
            | ReadResult::Images(_)
            | ReadResult::ReplicationStatus(_) => {}
        }
        if !result.summaries().iter().all(|entry| entry.tenant == *tenant && is_asked_for(&entry.thread)) {
            return Err("answered with a thread of another tenant or id than it was asked");
        }
        if result.messages().iter().all(matches) {
            Ok(())
        } else {
            Err("answered with a message of another tenant, thread or id than it was asked")
        }
    }
}

/// Checks that the taken message is the deleted one and belongs to this thread. A replay has no message.
fn check_taken(taken: &TakenMessage, tenant: &TenantId) -> Result<(), &'static str> {
    let TakenMessage { thread, deleted, message, deduplicated: _ } = taken;
    if deleted.as_ref().is_some_and(|deleted| deleted.thread != *thread) {
        return Err("answered with the deletion of a message of another thread than it was asked");
    }
    let Some(message) = message else { return Ok(()) };
    if message.tenant != *tenant || message.thread != *thread {
        return Err("answered with a message of another tenant or thread than it was asked");
    }
    if deleted.as_ref().is_none_or(|deleted| deleted.id != message.id) {
        return Err("answered with a message that it did not delete");
    }
    Ok(())
}

/// Returns the consumer of a call.
const fn consumer(args: &PersistArgs) -> Option<&ConsumerName> {
    match args {
        PersistArgs::Consumer(args) => Some(args.consumer()),
        PersistArgs::Read(ReadArgs::Cursor(read)) => Some(&read.consumer),
        PersistArgs::Read(ReadArgs::Quarantined(read)) => Some(&read.consumer),
        _ => None,
    }
}

/// Returns the agent, runtime and run of a call.
fn session(args: &PersistArgs) -> Option<SessionSubject> {
    match args {
        PersistArgs::Session(args) => Some(args.subject()),
        PersistArgs::Read(ReadArgs::Resolve(read)) => Some(SessionSubject::of_agent(read.agent.clone())),
        PersistArgs::Read(ReadArgs::Attempts(read)) => Some(SessionSubject::of_agent(read.agent.clone())),
        _ => None,
    }
}

fn is_of_every_tenant(args: &PersistArgs) -> bool {
    match args {
        PersistArgs::Read(ReadArgs::Changes(read)) => read.scope == ChangeScope::Store,
        PersistArgs::Read(ReadArgs::Audit(read)) => read.scope == ChangeScope::Store,
        PersistArgs::Read(ReadArgs::Tenants(_)) => true,
        _ => false,
    }
}
