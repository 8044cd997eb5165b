//! What is said of a thread as a whole.

use throughline_core::{
    CreateThread, ForkPoint, Generation, Labels, Message, MessageState, OwnerId, Result, Role, TenantId,
    ThreadEntry, ThreadId, Timestamp, Title,
    backend::{Removed, Tally, rules},
};

use crate::thread::ThreadLog;

#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) title: Title,
    pub(crate) owner: Option<OwnerId>,
    pub(crate) labels: Labels,
    pub(crate) archived: bool,
    /// Kept out of lists until it is published.
    pub(crate) hidden: bool,
    /// Has or had a settled message.
    pub(crate) has_begun: bool,
    pub(crate) deleted: bool,
    pub(crate) generation: Generation,
    pub(crate) forked_from: Option<ForkPoint>,
    pub(crate) created_at: Timestamp,
    /// When anything was changed that its messages do not tell.
    pub(crate) changed_at: Timestamp,
    pub(crate) tally: Tally,
    /// When the latest of the settled messages that are gone by now was changed.
    pub(crate) gone_at: Timestamp,
}

impl Facts {
    /// Of a thread that begins with its first write.
    pub(crate) fn implied(created_at: Timestamp) -> Self {
        Self {
            title: Title::default(),
            owner: None,
            labels: Labels::new(),
            archived: false,
            hidden: false,
            has_begun: false,
            deleted: false,
            generation: Generation::FIRST,
            forked_from: None,
            created_at,
            changed_at: created_at,
            tally: Tally::new(created_at),
            gone_at: created_at,
        }
    }

    pub(crate) fn created(create: &CreateThread, now: Timestamp) -> Self {
        Self {
            title: create.title.clone(),
            owner: create.owner.clone(),
            labels: create.labels.clone(),
            hidden: create.hidden,
            forked_from: create.forked_from.clone(),
            ..Self::implied(create.created_at.unwrap_or(now))
        }
    }

    pub(crate) fn entry(&self, tenant: &TenantId, thread: &ThreadId) -> ThreadEntry {
        let Tally { messages, turns, bytes, preview_seq: _, preview, active_at } = &self.tally;
        ThreadEntry {
            tenant: tenant.clone(),
            thread: thread.clone(),
            title: self.title.clone(),
            owner: self.owner.clone(),
            labels: self.labels.clone(),
            archived: self.archived,
            listed: self.has_begun && !self.hidden,
            generation: self.generation,
            forked_from: self.forked_from.clone(),
            preview: preview.clone(),
            messages: *messages,
            turns: *turns,
            bytes: *bytes,
            created_at: self.created_at,
            active_at: *active_at,
            updated_at: (*active_at).max(self.changed_at),
        }
    }

    pub(crate) fn changed(&mut self, now: Timestamp) {
        self.changed_at = self.changed_at.max(now);
    }
}

impl ThreadLog {
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
        let facts = self.facts_mut();
        facts.has_begun = true;
        facts.tally.settled(message);
    }

    /// Takes a message that went out of the count; its row is no longer there.
    pub(crate) fn uncount(&mut self, message: &Message) {
        let bytes = message.content.byte_len() as u64;
        let facts = self.facts_mut();
        if !message.state.is_open() {
            facts.gone_at = facts.gone_at.max(message.updated_at);
        }
        let removed =
            facts.tally.removed(message.seq, message.role, message.state, bytes, message.updated_at);
        if removed == Removed::PreviewIsDue {
            let latest = self.rows.values().rev().map(|row| &row.message).find(|message| is_users(message));
            let latest = latest.cloned();
            let tally = &mut self.facts_mut().tally;
            match latest {
                Some(message) => tally.show(&message),
                None => tally.show_none(),
            }
        }
    }

    /// Makes the count again, of the messages alone.
    pub(crate) fn recount(&mut self) {
        let facts = self.facts_mut();
        let mut tally = Tally::new(facts.created_at.max(facts.gone_at));
        for row in self.rows.values().filter(|row| !row.message.state.is_open()) {
            tally.settled(&row.message);
        }
        self.facts_mut().tally = tally;
    }
}

fn is_users(message: &Message) -> bool {
    (message.role, message.state) == (Role::User, MessageState::Final)
}
