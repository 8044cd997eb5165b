//! What is said of a thread as a whole.

use throughline_core::{
    Generation, Message, MessageState, Result, Role, Seq, TenantId, ThreadEntry, ThreadId, Timestamp,
    backend::{Removed, Tally, ThreadFacts, rules},
};

use crate::thread::ThreadLog;

#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) said: ThreadFacts,
    pub(crate) deleted: bool,
    pub(crate) generation: Generation,
    /// When the latest of the settled messages that are gone by now was changed.
    pub(crate) gone_at: Timestamp,
    /// The last place that a question of the user had which was deleted.
    pub(crate) gone_question: Option<Seq>,
}

impl Facts {
    pub(crate) const fn new(said: ThreadFacts) -> Self {
        let gone_at = said.created_at;
        Self { said, deleted: false, generation: Generation::FIRST, gone_at, gone_question: None }
    }
}

impl ThreadLog {
    /// The entry of the thread, if it is there.
    pub(crate) fn entry(&self, tenant: &TenantId, thread: &ThreadId) -> Option<ThreadEntry> {
        self.living().map(|facts| facts.said.entry(tenant, thread, facts.generation, self.last_seq))
    }

    /// The facts, which a thread with a row has.
    pub(crate) fn facts_mut(&mut self) -> &mut Facts {
        self.facts.as_mut().expect("a thread with a row has facts")
    }

    /// The thread, if it is there: neither never begun nor deleted.
    pub(crate) fn living(&self) -> Option<&Facts> {
        self.facts.as_ref().filter(|facts| !facts.deleted)
    }

    /// Refuses a write to a thread that was deleted.
    pub(crate) fn check_alive(&self, thread: &ThreadId) -> Result<()> {
        if self.facts.as_ref().is_some_and(|facts| facts.deleted) {
            return Err(rules::thread_is_gone(thread));
        }
        Ok(())
    }

    /// Refuses a new message of a writer who saw another generation.
    pub(crate) fn check_generation(&self, expected: Option<Generation>) -> Result<()> {
        let generation = self.facts.as_ref().map_or(Generation::FIRST, |facts| facts.generation);
        rules::expect_generation(expected, generation)
    }

    /// Counts a message that became settled.
    pub(crate) fn count(&mut self, message: &Message) {
        self.facts_mut().said.count(message);
    }

    /// Takes a message that went out of the count; its row is no longer there.
    pub(crate) fn uncount(&mut self, message: &Message) {
        let bytes = message.content.byte_len() as u64;
        let facts = self.facts_mut();
        if !message.state.is_open() {
            facts.gone_at = facts.gone_at.max(message.updated_at);
        }
        if is_users(message) {
            facts.gone_question = facts.gone_question.max(Some(message.seq));
        }
        let removed =
            facts.said.tally.removed(message.seq, message.role, message.state, bytes, message.updated_at);
        if removed == Removed::PreviewIsDue {
            let latest = self.rows.values().rev().map(|row| &row.message).find(|message| is_users(message));
            let latest = latest.cloned();
            let tally = &mut self.facts_mut().said.tally;
            match latest {
                Some(message) => tally.show(&message),
                None => tally.show_none(),
            }
        }
    }

    /// Makes the count again, of the messages alone.
    pub(crate) fn recount(&mut self) {
        let facts = self.facts_mut();
        let mut tally = Tally::new(facts.said.created_at.max(facts.gone_at));
        for row in self.rows.values().filter(|row| !row.message.state.is_open()) {
            tally.settled(&row.message);
        }
        self.facts_mut().said.tally = tally;
    }
}

fn is_users(message: &Message) -> bool {
    (message.role, message.state) == (Role::User, MessageState::Final)
}
