//! Provider aliases: the rows of `aliases`.

use rusqlite::{Row, ToSql, params};
use throughline_core::{
    Seq,
    backend::names::{KnownName, NAMES_PER_MESSAGE},
    ids::TurnId,
};
use throughline_engine::{
    StagedRows,
    rows::{AliasBy, AliasQuery},
};

use super::{Source, corrupt};
use crate::{
    failure::Applied,
    record::{AliasRow, alias_columns, number},
};

/// The alias that was recorded last of those that match.
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

impl Source<'_> {
    pub(super) fn find_aliases(&mut self, query: &AliasQuery) -> Applied<Vec<KnownName>> {
        let Some(thread) = self.stored_thread(&query.thread)? else { return Ok(Vec::new()) };
        let thread_pk = thread.thread_pk;
        let generation = number(query.generation.get());
        let found = match &query.by {
            AliasBy::Item(turn, item, role) => {
                let turn = turn.as_ref().map(TurnId::as_str);
                let parameters = params![thread_pk, generation, role.as_str(), item.as_str(), turn];
                self.read_aliases(BY_ITEM, parameters, thread_pk)?
            }
            AliasBy::Turn(turn, role) => {
                let parameters = params![thread_pk, generation, role.as_str(), turn.as_str()];
                self.read_aliases(BY_TURN, parameters, thread_pk)?
            }
            AliasBy::Event(event, role) => {
                let parameters = params![thread_pk, generation, role.as_str(), event.as_str()];
                self.read_aliases(BY_EVENT, parameters, thread_pk)?
            }
            AliasBy::Message(id) => {
                let limit = number(NAMES_PER_MESSAGE as u64);
                let parameters = params![thread_pk, generation, id.as_str(), limit];
                self.read_aliases(OF_MESSAGE, parameters, thread_pk)?
            }
        };
        found.ok_or_else(|| {
            let thread = &query.thread.thread;
            corrupt(format!("an alias of a message in the thread `{thread}` is damaged")).into()
        })
    }

    /// Reads aliases; `None` if one is damaged.
    fn read_aliases(
        &self,
        sql: &str,
        parameters: &[&dyn ToSql],
        thread_pk: i64,
    ) -> Applied<Option<Vec<KnownName>>> {
        let mut statement = self.db.prepare_cached(sql)?;
        let read = |row: &Row<'_>| Ok(AliasRow::read(row, 0, thread_pk));
        let rows: Vec<Option<AliasRow>> =
            statement.query_map(parameters, read)?.collect::<rusqlite::Result<_>>()?;
        let known = |AliasRow { seen, alias, .. }| KnownName {
            alias,
            seen: Seq::new(u64::try_from(seen).unwrap_or_default()),
        };
        Ok(rows.into_iter().map(|row| row.map(known)).collect())
    }
}

/// Inserts the recorded aliases.
pub(super) fn write(source: &mut Source<'_>, staged: &StagedRows) -> Applied<()> {
    for alias in staged.inserted_aliases() {
        let thread_pk = source.thread_pk(&alias.thread)?;
        let KnownName { alias: name, seen } = &alias.known;
        let (generation, seen) = (number(alias.generation.get()), number(seen.get()));
        AliasRow { generation, seen, alias: name.clone() }.insert(source.db, thread_pk)?;
    }
    Ok(())
}
