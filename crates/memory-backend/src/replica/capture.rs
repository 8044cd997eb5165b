//! What was touched, each thing once, in the order in which it was touched last.

use std::collections::{BTreeMap, HashMap};

use throughline_core::{
    AgentId, AuditNumber, ConsumerName, IdempotencyKey, MessageId, Position, RuntimeId, SessionArgs,
    TenantId, ThreadId,
    replica::{CaptureId, ImageCursor},
};

use crate::{sessions::SessionRow, store::Store, thread::ThreadLog};

/// What was touched in a thread.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Mark {
    /// What is kept of it as a whole.
    Thread,
    /// A message, or an id that is dead.
    Message(MessageId),
    /// A name, by its number.
    Name(usize),
    Key(IdempotencyKey),
    Session((AgentId, u64), SessionRow),
}

/// What was touched in the store.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Entity {
    OfThread(TenantId, ThreadId, Mark),
    Agent(TenantId, AgentId),
    Runtime(TenantId, RuntimeId),
    Consumer(TenantId, ConsumerName),
}

pub(crate) struct Capture {
    pub(super) id: CaptureId,
    last: u64,
    pub(super) touched: BTreeMap<u64, Entity>,
    numbers: HashMap<Entity, u64>,
}

impl Capture {
    /// Begins with everything that there is.
    pub(super) fn of(store: &Store) -> Self {
        let mut capture =
            Self { id: CaptureId::fresh(), last: 0, touched: BTreeMap::new(), numbers: HashMap::new() };
        for (tenant, threads) in &store.tenants {
            for (thread, log) in threads.iter().filter(|(_, log)| log.facts.is_some()) {
                for mark in everything(log) {
                    capture.touch(Entity::OfThread(tenant.clone(), thread.clone(), mark));
                }
            }
        }
        for (tenant, agent) in store.whole.agents.keys() {
            capture.touch(Entity::Agent(tenant.clone(), agent.clone()));
        }
        for (tenant, runtime) in store.whole.runtimes.keys() {
            capture.touch(Entity::Runtime(tenant.clone(), runtime.clone()));
        }
        for (tenant, consumer) in store.consumers.all() {
            capture.touch(Entity::Consumer(tenant.clone(), consumer.clone()));
        }
        capture
    }

    pub(super) const fn begin(&self, whole: bool, (changes, audit): (Position, AuditNumber)) -> ImageCursor {
        let touched = if whole { 0 } else { self.last };
        ImageCursor { capture: self.id, part: 0, row: 0, touched, changes, audit }
    }

    pub(super) fn touch(&mut self, entity: Entity) {
        self.last += 1;
        if let Some(before) = self.numbers.insert(entity.clone(), self.last) {
            self.touched.remove(&before);
        }
        self.touched.insert(self.last, entity);
    }
}

/// Everything of a thread.
fn everything(log: &ThreadLog) -> impl Iterator<Item = Mark> {
    let rows = log.rows.values().map(|row| Mark::Message(row.message.id.clone()));
    let dead = log.ids.iter().filter(|(_, at)| at.is_none()).map(|(id, _)| id);
    // Of a deleted thread no ids are kept but those of what is still to be asked for.
    let left = log.left.ids().filter(|id| !log.ids.contains_key(*id));
    let gone = dead.chain(left).map(|id| Mark::Message(id.clone()));
    let names = (0..log.names.len()).map(Mark::Name);
    let keys = log.keys.keys().cloned().map(Mark::Key);
    let sessions = log.sessions.iter().flat_map(|(key, kept)| {
        let head = kept.head.iter().map(|_| SessionRow::Head);
        let known = kept.known.keys().cloned().map(SessionRow::Known);
        let attempts = kept.attempts.keys().copied().map(SessionRow::Attempt);
        head.chain(known).chain(attempts).map(move |row| Mark::Session(key.clone(), row))
    });
    std::iter::once(Mark::Thread).chain(rows).chain(gone).chain(names).chain(keys).chain(sessions)
}

impl Store {
    /// Notes what a write has touched in a thread.
    pub(crate) fn mark(&mut self, tenant: &TenantId, thread: &ThreadId) {
        let Some(log) = self.tenants.get_mut(tenant).and_then(|threads| threads.get_mut(thread)) else {
            return;
        };
        let marks = std::mem::take(&mut log.marks);
        if let Some(capture) = &mut self.capture {
            for mark in std::iter::once(Mark::Thread).chain(marks) {
                capture.touch(Entity::OfThread(tenant.clone(), thread.clone(), mark));
            }
        }
    }

    /// Notes what was done to a whole agent or runtime.
    pub(crate) fn mark_whole(&mut self, tenant: &TenantId, args: &SessionArgs) {
        let entity = match args {
            SessionArgs::ResetAgent(reset) => Entity::Agent(tenant.clone(), reset.agent.clone()),
            SessionArgs::DropAgent(dropped) => Entity::Agent(tenant.clone(), dropped.agent.clone()),
            SessionArgs::DropRuntime(dropped) => Entity::Runtime(tenant.clone(), dropped.runtime.clone()),
            _ => return,
        };
        if let Some(capture) = &mut self.capture {
            capture.touch(entity);
        }
    }

    /// Notes that a consumer keeps something else.
    pub(crate) fn mark_consumer(&mut self, tenant: &TenantId, consumer: ConsumerName) {
        if let Some(capture) = &mut self.capture {
            capture.touch(Entity::Consumer(tenant.clone(), consumer));
        }
    }
}
