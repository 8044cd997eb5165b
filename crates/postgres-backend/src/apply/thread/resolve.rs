//! Which message a provider means.

use throughline_core::{
    EventId, Generation, ItemId, MessageId, Origin, ResolveId, ResolvedId, Role, Seq, ThreadId, TurnId,
    backend::{
        names::{self, KnownName, NAMES_PER_MESSAGE, Named as NamedMessage, Names},
        rules,
    },
};

use super::super::{
    Scope,
    message::{Named, implied},
};
use crate::rows::{By, Found, Halt, NameQuery};

impl Scope<'_> {
    pub(super) fn resolve(&mut self, asked: &ResolveId) -> Found<ResolvedId> {
        let thread = &asked.thread;
        let mut state = self.living(thread)?;
        let (generation, floor) =
            state.as_ref().map_or((Generation::FIRST, Seq::ZERO), |state| (state.generation, state.floor));
        rules::expect_generation(asked.generation, generation)?;
        let latest_question = match &mut state {
            Some(state) => Self::facts(state, thread)?.tally.preview_seq.max(state.gone_question),
            None => None,
        };
        let is_there = state.is_some();
        let mut known = Known { scope: self, thread, is_there, generation, floor, latest_question };
        let (resolved, alias) = names::resolve(asked, &mut known)?;
        if let Some(alias) = alias {
            if !is_there {
                self.put_thread(thread, implied(self.now));
            }
            self.name(thread, &alias.message, alias.role, &alias.origin)?;
        }
        Ok(resolved)
    }
}

/// What is known of the names in a thread.
struct Known<'a, 'r> {
    scope: &'a mut Scope<'r>,
    thread: &'a ThreadId,
    is_there: bool,
    generation: Generation,
    floor: Seq,
    latest_question: Option<Seq>,
}

impl Known<'_, '_> {
    /// The latest first: those that this transaction takes down, then those that were read.
    fn names(&mut self, by: By) -> Found<Vec<KnownName>> {
        if !self.is_there {
            return Ok(Vec::new());
        }
        let query = NameQuery { thread: self.scope.key(self.thread), generation: self.generation, by };
        let rows = &mut *self.scope.rows;
        let read = rows.names.get(&query)?.cloned().unwrap_or_default();
        let new = rows.new_names.items().iter().rev().filter(|name| query.fits(name));
        Ok(new.map(|name| name.known.clone()).chain(read).take(query.limit()).collect())
    }

    fn latest(&mut self, by: By) -> Found<Option<KnownName>> {
        Ok(self.names(by)?.into_iter().next())
    }
}

impl Names for Known<'_, '_> {
    type Error = Halt;

    fn item(&mut self, turn: Option<&TurnId>, item: &ItemId, role: Role) -> Found<Option<KnownName>> {
        self.latest(By::Item(turn.cloned(), item.clone(), role))
    }

    fn turn(&mut self, turn: &TurnId, role: Role) -> Found<Option<KnownName>> {
        self.latest(By::Turn(turn.clone(), role))
    }

    fn event(&mut self, event: &EventId, role: Role) -> Found<Option<KnownName>> {
        self.latest(By::Event(event.clone(), role))
    }

    fn names_of(&mut self, id: &MessageId) -> Found<Vec<Origin>> {
        let names = self.names(By::Message(id.clone()))?;
        Ok(names.into_iter().take(NAMES_PER_MESSAGE).map(|known| known.alias.origin).collect())
    }

    fn message(&mut self, id: &MessageId) -> Found<NamedMessage> {
        Ok(match self.scope.named(self.floor, self.thread, id)? {
            Named::Nothing => NamedMessage::Nothing,
            Named::Dead => NamedMessage::Dead,
            Named::There(row, seq) => NamedMessage::There { role: row.role, state: row.state, seq },
        })
    }

    fn latest_question(&mut self) -> Found<Option<Seq>> {
        Ok(self.latest_question)
    }
}
