//! Which message a provider means.

use rusqlite::{Row, ToSql, params};
use throughline_core::{
    Alias, EventId, ItemId, MessageId, Origin, ResolveId, ResolvedId, Role, Seq, ThreadId, TurnId,
    backend::{
        names::{self, KnownName, NAMES_PER_MESSAGE, Named, Names},
        rules,
    },
};

use crate::{
    apply::{Applied, Failure, Scope, refusal, row},
    record::{AliasRow, alias_columns, number},
};

/// The one that was taken down last of those that fit.
macro_rules! latest_alias {
    ($which:literal) => {
        concat!(
            "SELECT ",
            alias_columns!(),
            " FROM aliases a WHERE ",
            $which,
            " ORDER BY a.alias_pk DESC LIMIT 1"
        )
    };
}

pub(crate) const BY_ITEM: &str =
    latest_alias!("a.thread_pk = ?1 AND a.generation = ?2 AND a.role = ?3 AND a.item = ?4 AND a.turn IS ?5");
pub(crate) const BY_TURN: &str =
    latest_alias!("a.thread_pk = ?1 AND a.generation = ?2 AND a.role = ?3 AND a.turn = ?4");
pub(crate) const BY_EVENT: &str = latest_alias!(
    "a.thread_pk = ?1 AND a.generation = ?2 AND a.role = ?3 AND a.event = ?4 AND a.item IS NULL AND a.turn IS NULL"
);
pub(crate) const OF_MESSAGE: &str = concat!(
    "SELECT ",
    alias_columns!(),
    " FROM aliases a WHERE a.thread_pk = ?1 AND a.generation = ?2 AND a.message_id = ?3 \
     ORDER BY a.alias_pk DESC LIMIT ?4"
);

pub(super) fn resolve(scope: Scope<'_>, asked: &ResolveId) -> Applied<ResolvedId> {
    let thread = &asked.thread;
    let place = match scope.living(thread)? {
        Some(state) => {
            rules::expect_generation(asked.generation, state.generation())?;
            let there = state.entry(thread)?.tally.preview_seq;
            let gone = u64::try_from(state.head.gone_question).ok().map(Seq::new);
            let latest_question = there.max(gone);
            Some(Place {
                thread_pk: state.thread_pk,
                generation: state.head.generation,
                floor: state.head.floor,
                latest_question,
            })
        }
        None => {
            rules::expect_generation(asked.generation, throughline_core::Generation::FIRST)?;
            None
        }
    };
    let (resolved, alias) = names::resolve(asked, &mut Known { scope, thread, place })?;
    if let Some(alias) = alias {
        drop(scope.living_or_begun(thread, scope.now)?);
        name(scope, thread, alias)?;
    }
    Ok(resolved)
}

/// Takes down by what name a message is known. Its thread is there.
pub(crate) fn name(scope: Scope<'_>, thread: &ThreadId, alias: Alias) -> Applied<()> {
    let state = super::existing(scope, thread)?;
    let row = AliasRow { generation: state.head.generation, seen: state.last_seq, alias };
    Ok(row.insert(scope.db, state.thread_pk)?)
}

#[derive(Clone, Copy)]
struct Place {
    thread_pk: i64,
    generation: i64,
    floor: i64,
    latest_question: Option<Seq>,
}

/// What the file says of the names in a thread.
struct Known<'a> {
    scope: Scope<'a>,
    thread: &'a ThreadId,
    /// Nothing where there is no thread yet.
    place: Option<Place>,
}

impl Known<'_> {
    fn latest(&self, sql: &str, parameters: &[&dyn ToSql]) -> Applied<Option<KnownName>> {
        Ok(self.aliases(sql, parameters)?.pop().map(|row| KnownName {
            alias: row.alias,
            seen: Seq::new(u64::try_from(row.seen).unwrap_or_default()),
        }))
    }

    fn aliases(&self, sql: &str, parameters: &[&dyn ToSql]) -> Applied<Vec<AliasRow>> {
        let Some(place) = self.place else { return Ok(Vec::new()) };
        let mut statement = self.scope.db.prepare_cached(sql)?;
        let read = |row: &Row<'_>| Ok(AliasRow::read(row, 0, place.thread_pk));
        let mut found = Vec::new();
        for row in statement.query_map(parameters, read)? {
            let Some(row) = row? else { return Err(self.damaged()) };
            found.push(row);
        }
        Ok(found)
    }

    fn damaged(&self) -> Failure {
        let detail = format!("a name of a message in the thread `{}` is damaged", self.thread);
        refusal(throughline_core::ErrorKind::Corrupt, detail).into()
    }
}

impl Names for Known<'_> {
    type Error = Failure;

    fn item(&mut self, turn: Option<&TurnId>, item: &ItemId, role: Role) -> Applied<Option<KnownName>> {
        let Some(Place { thread_pk, generation, .. }) = self.place else { return Ok(None) };
        let turn = turn.map(TurnId::as_str);
        self.latest(BY_ITEM, params![thread_pk, generation, role.as_str(), item.as_str(), turn])
    }

    fn turn(&mut self, turn: &TurnId, role: Role) -> Applied<Option<KnownName>> {
        let Some(Place { thread_pk, generation, .. }) = self.place else { return Ok(None) };
        self.latest(BY_TURN, params![thread_pk, generation, role.as_str(), turn.as_str()])
    }

    fn event(&mut self, event: &EventId, role: Role) -> Applied<Option<KnownName>> {
        let Some(Place { thread_pk, generation, .. }) = self.place else { return Ok(None) };
        self.latest(BY_EVENT, params![thread_pk, generation, role.as_str(), event.as_str()])
    }

    fn names_of(&mut self, id: &MessageId) -> Applied<Vec<Origin>> {
        let Some(Place { thread_pk, generation, .. }) = self.place else { return Ok(Vec::new()) };
        let limit = number(NAMES_PER_MESSAGE as u64);
        let rows = self.aliases(OF_MESSAGE, params![thread_pk, generation, id.as_str(), limit])?;
        Ok(rows.into_iter().map(|row| row.alias.origin).collect())
    }

    fn message(&mut self, id: &MessageId) -> Applied<Named> {
        let Some(Place { thread_pk, floor, .. }) = self.place else { return Ok(Named::Nothing) };
        Ok(match row::is_alive(self.scope, thread_pk, floor, id)? {
            None => Named::Nothing,
            Some(false) => Named::Dead,
            Some(true) => Named::from(&row::find_or_refuse(self.scope, self.thread, id)?.message),
        })
    }

    fn latest_question(&mut self) -> Applied<Option<Seq>> {
        Ok(self.place.and_then(|place| place.latest_question))
    }
}
