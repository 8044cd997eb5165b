use throughline_core::{
    PersistArgs,
    backend::sessions::AgentRecord,
    changes::ConsumerArgs,
    messages::{ContentChange, UpdateMode},
    operations::Addressed as _,
    sessions::SessionArgs,
};

use crate::{
    Write,
    rows::{
        AgentKey, ConsumerKey, IdempotencyRowKey, MessageKey, QuarantineKey, RuntimeKey, SessionHeadKey,
        ThreadKey,
    },
};

/// A row that a write looks up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowKey<'a> {
    /// A thread.
    Thread(&'a ThreadKey),
    /// A message.
    Message(&'a MessageKey),
    /// A message with an id that was generated for this call: most likely there is no row.
    MintedMessage(&'a MessageKey),
    /// The content of a message.
    Content(&'a MessageKey),
    /// An idempotency key.
    Idempotency(&'a IdempotencyRowKey),
    /// An agent as a whole.
    Agent(&'a AgentKey),
    /// A runtime as a whole.
    Runtime(&'a RuntimeKey),
    /// The session head of an agent in a thread.
    SessionHead(&'a SessionHeadKey),
    /// A consumer.
    Consumer(&'a ConsumerKey),
    /// A quarantined change.
    Quarantined(&'a QuarantineKey),
}

/// Names the rows that a write surely looks up, so that a source can load them in one round trip before the write is applied.
pub fn prefetch(write: &Write<'_>, mut expect: impl FnMut(RowKey<'_>)) {
    if let PersistArgs::Consumer(args) = write.args {
        let consumer = ConsumerKey { tenant: write.tenant.clone(), consumer: args.consumer().clone() };
        match args {
            ConsumerArgs::MoveCursor(_) => expect(RowKey::Consumer(&consumer)),
            ConsumerArgs::Quarantine(change) => {
                expect(RowKey::Consumer(&consumer));
                expect(RowKey::Quarantined(&QuarantineKey { consumer, position: change.position }));
            }
            ConsumerArgs::Release(change) => {
                expect(RowKey::Quarantined(&QuarantineKey { consumer, position: change.position }));
            }
            _ => {}
        }
    }
    for item in write.args.each() {
        prefetch_item(write, item, &mut expect);
    }
    if let (Some(idempotency), Some(thread)) = (write.idempotency, write.args.key_scope()) {
        let thread = ThreadKey::new(write.tenant, thread);
        expect(RowKey::Idempotency(&IdempotencyRowKey { thread, key: idempotency.key.clone() }));
    }
}

fn prefetch_item(write: &Write<'_>, item: &PersistArgs, expect: &mut impl FnMut(RowKey<'_>)) {
    let thread = item.thread().map(|thread| ThreadKey::new(write.tenant, thread));
    if let Some(thread) = &thread {
        expect(RowKey::Thread(thread));
        if let Some(id) = item.message() {
            let key = MessageKey { thread: thread.clone(), id: id.clone() };
            let is_minted = match item {
                PersistArgs::Add(add) => add.is_minted(),
                PersistArgs::Reserve(reserve) => reserve.is_minted(),
                _ => false,
            };
            expect(if is_minted { RowKey::MintedMessage(&key) } else { RowKey::Message(&key) });
            // The end of a message needs its earlier content, unless the call has the whole content.
            if let PersistArgs::UpdateContent(update) = item
                && !matches!(update.mode, UpdateMode::Partial)
                && !matches!(update.change, ContentChange::Replace(_))
            {
                expect(RowKey::Content(&key));
            }
        }
    }
    let PersistArgs::Session(session) = item else { return };
    if let SessionArgs::DropRuntime(dropped) = session {
        let (tenant, runtime) = (write.tenant.clone(), dropped.runtime.clone());
        expect(RowKey::Runtime(&RuntimeKey { tenant, runtime }));
    }
    if let Some(agent) = session.agent() {
        expect(RowKey::Agent(&AgentKey { tenant: write.tenant.clone(), agent: agent.clone() }));
        if let Some(thread) = thread {
            // Most agents were never dropped.
            let AgentRecord { incarnation, .. } = AgentRecord::default();
            let agent = agent.clone();
            expect(RowKey::SessionHead(&SessionHeadKey { thread, agent, incarnation }));
        }
    }
}
