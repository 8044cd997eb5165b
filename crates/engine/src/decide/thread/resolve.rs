//! The resolution of provider ids to a message id.

use throughline_core::{
    MessageId, Role, Seq, ThreadId,
    backend::{
        names::{self, KnownName, Named as NamedMessage, Names},
        rules,
    },
    ids::{EventId, ItemId, TurnId},
    messages::{Origin, ResolveId, ResolvedId},
    threads::Generation,
};

use crate::{
    Halt, RowSource,
    decide::{
        Decided, WriteScope,
        add::implied,
        load::{Named, summary_mut},
    },
    rows::{AliasBy, AliasQuery},
};

impl<S: RowSource> WriteScope<'_, S> {
    pub(super) fn resolve(&mut self, asked: &ResolveId) -> Decided<ResolvedId, S> {
        let thread = &asked.thread;
        let mut state = self.living(thread)?;
        let (generation, floor) =
            state.as_ref().map_or((Generation::FIRST, Seq::ZERO), |state| (state.generation, state.floor));
        rules::expect_generation(asked.generation, generation)?;
        let latest_question = match &mut state {
            Some(state) => summary_mut(state, thread)?.counters.preview_seq.max(state.removed_question),
            None => None,
        };
        let exists = state.is_some();
        let mut aliases = ThreadAliases { scope: self, thread, exists, generation, floor, latest_question };
        let (resolved, alias) = names::resolve(asked, &mut aliases)?;
        if let Some(alias) = alias {
            if !exists {
                self.put_thread(thread, implied(self.now));
            }
            self.record_alias(thread, &alias.message, alias.role, &alias.origin)?;
        }
        Ok(resolved)
    }
}

/// The aliases of a generation of a thread.
struct ThreadAliases<'s, 'a, S> {
    scope: &'s mut WriteScope<'a, S>,
    thread: &'s ThreadId,
    exists: bool,
    generation: Generation,
    floor: Seq,
    latest_question: Option<Seq>,
}

impl<S: RowSource> ThreadAliases<'_, '_, S> {
    /// Returns the aliases, the latest first: those of this transaction, then the stored ones.
    fn aliases(&mut self, by: AliasBy) -> Decided<Vec<KnownName>, S> {
        if !self.exists {
            return Ok(Vec::new());
        }
        let query =
            AliasQuery { thread: self.scope.thread_key(self.thread), generation: self.generation, by };
        let source = &mut *self.scope.source;
        let rows = &mut *self.scope.rows;
        let stored = rows.alias_queries.get_or_load(&query, || source.aliases(&query).map(Some))?;
        let stored = stored.cloned().unwrap_or_default();
        let staged = rows.aliases.items().iter().rev().filter(|alias| query.matches(alias));
        Ok(staged.map(|alias| alias.known.clone()).chain(stored).take(query.limit()).collect())
    }

    fn latest(&mut self, by: AliasBy) -> Decided<Option<KnownName>, S> {
        Ok(self.aliases(by)?.into_iter().next())
    }
}

impl<S: RowSource> Names for ThreadAliases<'_, '_, S> {
    type Error = Halt<S::Stop>;

    fn item(&mut self, turn: Option<&TurnId>, item: &ItemId, role: Role) -> Decided<Option<KnownName>, S> {
        self.latest(AliasBy::Item(turn.cloned(), item.clone(), role))
    }

    fn turn(&mut self, turn: &TurnId, role: Role) -> Decided<Option<KnownName>, S> {
        self.latest(AliasBy::Turn(turn.clone(), role))
    }

    fn event(&mut self, event: &EventId, role: Role) -> Decided<Option<KnownName>, S> {
        self.latest(AliasBy::Event(event.clone(), role))
    }

    fn names_of(&mut self, id: &MessageId) -> Decided<Vec<Origin>, S> {
        let aliases = self.aliases(AliasBy::Message(id.clone()))?;
        Ok(aliases.into_iter().map(|known| known.alias.origin).collect())
    }

    fn message(&mut self, id: &MessageId) -> Decided<NamedMessage, S> {
        Ok(match self.scope.named(self.floor, self.thread, id)? {
            Named::Nothing => NamedMessage::Nothing,
            Named::Tombstone(_) => NamedMessage::Dead,
            Named::There(row, seq) => NamedMessage::There { role: row.role, state: row.state, seq },
        })
    }

    fn latest_question(&mut self) -> Decided<Option<Seq>, S> {
        Ok(self.latest_question)
    }
}
