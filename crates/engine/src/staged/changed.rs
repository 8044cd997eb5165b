use super::StagedRows;
use crate::rows::{
    AgentKey, AttemptKey, ConsumerKey, IdempotencyRowKey, MessageKey, RuntimeKey, SessionHeadKey, SessionKey,
    ThreadKey,
};

/// The key of a row that a transaction has changed, for the dirty set of a store that is replicated.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ChangedRow {
    /// A thread.
    Thread(ThreadKey),
    /// A message, or a tombstone.
    Message(MessageKey),
    /// An alias.
    Alias {
        /// The thread.
        thread: ThreadKey,
        /// The number of the alias.
        number: u64,
    },
    /// An idempotency key.
    Idempotency(IdempotencyRowKey),
    /// An agent as a whole.
    Agent(AgentKey),
    /// A runtime as a whole.
    Runtime(RuntimeKey),
    /// A session head.
    SessionHead(SessionHeadKey),
    /// A session.
    Session(SessionKey),
    /// An attempt.
    Attempt(AttemptKey),
    /// A consumer, with everything that it quarantined.
    Consumer(ConsumerKey),
}

impl StagedRows {
    /// Every row that is inserted or updated; a row can occur twice. Aliases are in the order in which they were recorded.
    pub fn changed_rows(&self) -> impl Iterator<Item = ChangedRow> {
        let threads = self.threads.changed().map(|(key, _)| ChangedRow::Thread(key.clone()));
        let messages = self.messages.changed().map(|(key, _)| ChangedRow::Message(key.clone()));
        let aliases = self.aliases.items().iter();
        let aliases = aliases.map(|row| ChangedRow::Alias { thread: row.thread.clone(), number: row.number });
        let keys = self.idempotency.changed().map(|(key, _)| ChangedRow::Idempotency(key.clone()));
        let agents = self.agents.changed().map(|(key, _)| ChangedRow::Agent(key.clone()));
        let runtimes = self.runtimes.changed().map(|(key, _)| ChangedRow::Runtime(key.clone()));
        let heads = self.session_heads.changed().map(|(key, _)| ChangedRow::SessionHead(key.clone()));
        let sessions = self.sessions.changed().map(|(key, _)| ChangedRow::Session(key.clone()));
        let attempts = self.attempts.changed().map(|(key, _)| ChangedRow::Attempt(key.clone()));
        let quarantined = self.quarantine.changed().map(|(key, _)| key).chain(self.quarantine.removed());
        let consumers =
            self.consumers.changed().map(|(key, _)| key).chain(quarantined.map(|key| &key.consumer));
        let consumers = consumers.map(|key| ChangedRow::Consumer(key.clone()));
        threads
            .chain(messages)
            .chain(aliases)
            .chain(keys)
            .chain(agents)
            .chain(runtimes)
            .chain(heads)
            .chain(sessions)
            .chain(attempts)
            .chain(consumers)
    }
}
