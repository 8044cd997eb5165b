//! By what names the messages of a thread are known to their providers.

use throughline_core::{
    Alias, AliasCursor, Aliases, EventId, Generation, ItemId, ListAliases, MessageId, Origin, PersistError,
    ResolveId, ResolvedId, Result, Role, Seq, Timestamp, TurnId,
    backend::{
        ThreadFacts,
        names::{self, KnownName, NAMES_PER_MESSAGE, Named, Names},
    },
};

use crate::{facts::Facts, replica::Mark, thread::ThreadLog};

impl ThreadLog {
    pub(crate) fn resolve(&mut self, asked: &ResolveId, now: Timestamp) -> Result<ResolvedId> {
        self.check_alive(&asked.thread)?;
        self.check_generation(asked.generation)?;
        let (resolved, alias) = names::resolve(asked, self)?;
        self.facts.get_or_insert_with(|| Facts::new(ThreadFacts::implied(now)));
        if let Some(alias) = alias {
            self.take_down(KnownName { alias, seen: self.last_seq });
        }
        Ok(resolved)
    }

    /// Takes down what the provider of a message calls it.
    pub(crate) fn name(&mut self, message: &MessageId, role: Role, origin: &Origin) {
        if !origin.is_empty() {
            let alias = Alias { message: message.clone(), role, origin: origin.clone() };
            self.take_down(KnownName { alias, seen: self.last_seq });
        }
    }

    fn take_down(&mut self, known: KnownName) {
        let generation = self.facts.as_ref().map_or(Generation::FIRST, |facts| facts.generation);
        self.marks.push(Mark::Name(self.names.len()));
        self.names.push((generation, known));
    }

    fn latest(&self, is_it: impl Fn(&Origin) -> bool, role: Role) -> Option<KnownName> {
        let fits = |known: &&KnownName| known.alias.role == role && is_it(&known.alias.origin);
        self.names.iter().rev().map(|(_, known)| known).find(fits).cloned()
    }
}

impl Names for ThreadLog {
    type Error = PersistError;

    fn item(&mut self, turn: Option<&TurnId>, item: &ItemId, role: Role) -> Result<Option<KnownName>> {
        let is_it = |origin: &Origin| origin.item.as_ref() == Some(item) && origin.turn.as_ref() == turn;
        Ok(self.latest(is_it, role))
    }

    fn turn(&mut self, turn: &TurnId, role: Role) -> Result<Option<KnownName>> {
        Ok(self.latest(|origin| origin.turn.as_ref() == Some(turn), role))
    }

    fn event(&mut self, event: &EventId, role: Role) -> Result<Option<KnownName>> {
        let is_it = |origin: &Origin| {
            origin.event.as_ref() == Some(event) && origin.item.is_none() && origin.turn.is_none()
        };
        Ok(self.latest(is_it, role))
    }

    fn names_of(&mut self, id: &MessageId) -> Result<Vec<Origin>> {
        let names =
            self.names.iter().rev().map(|(_, known)| known).filter(|known| known.alias.message == *id);
        Ok(names.take(NAMES_PER_MESSAGE).map(|known| known.alias.origin.clone()).collect())
    }

    fn message(&mut self, id: &MessageId) -> Result<Named> {
        Ok(match self.ids.get(id) {
            None => Named::Nothing,
            Some(None) => Named::Dead,
            Some(Some(seq)) => Named::from(&self.rows[seq].message),
        })
    }

    fn latest_question(&mut self) -> Result<Option<Seq>> {
        Ok(self.living().and_then(|facts| facts.said.tally.preview_seq.max(facts.gone_question)))
    }
}

/// Lists the names in a thread. Their numbers are the order in which they were taken down.
pub(crate) fn aliases(log: Option<&ThreadLog>, list: &ListAliases) -> Aliases {
    let names = log.filter(|log| log.living().is_some()).map_or(&[][..], |log| &log.names);
    let mut found: Vec<(AliasCursor, &Alias)> = (1_u64..)
        .zip(names)
        .map(|(n, (_, known))| (AliasCursor { message: known.alias.message.clone(), n }, &known.alias))
        .filter(|(place, _)| list.message.as_ref().is_none_or(|id| place.message == *id))
        .filter(|(place, _)| list.after.as_ref().is_none_or(|after| order(place) > order(after)))
        .collect();
    found.sort_by(|(a, _), (b, _)| order(a).cmp(&order(b)));
    let more = found.len() > list.limit as usize;
    found.truncate(list.limit as usize);
    let next = if more { found.last().map(|(place, _)| place.clone()) } else { None };
    let aliases = found.into_iter().map(|(_, alias)| alias.clone()).collect();
    Aliases { thread: list.thread.clone(), aliases, next }
}

const fn order(place: &AliasCursor) -> (&MessageId, u64) {
    (&place.message, place.n)
}
