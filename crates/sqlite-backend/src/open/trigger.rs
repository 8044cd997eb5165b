//! Triggers in the file that this crate did not create. A trigger changes what a write stores, unseen by the pipeline.

use std::collections::HashSet;

use rusqlite::Connection;

use super::migration;
use crate::replica::is_capture_trigger;

/// A trigger and its table.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Trigger {
    pub(crate) name: String,
    pub(crate) table: String,
}

/// Returns the triggers of the file in the order of their names, except those of the migrations and those that record
/// row changes for a replica.
pub(crate) fn foreign_triggers(connection: &Connection) -> rusqlite::Result<Vec<Trigger>> {
    foreign_triggers_of(connection, &migration::fresh()?)
}

/// Returns the same triggers of a file whose migrations are those of `fresh`.
pub(super) fn foreign_triggers_of(
    connection: &Connection,
    fresh: &Connection,
) -> rusqlite::Result<Vec<Trigger>> {
    let ours: HashSet<String> = all(fresh)?.into_iter().map(|(_, sql)| sql).collect();
    let found = all(connection)?.into_iter();
    let foreign = found.filter(|(_, sql)| !ours.contains(sql) && !is_capture_trigger(sql));
    Ok(foreign.map(|(trigger, _)| trigger).collect())
}

/// Returns every trigger with the SQL that created it.
fn all(connection: &Connection) -> rusqlite::Result<Vec<(Trigger, String)>> {
    let mut statement = connection
        .prepare("SELECT name, tbl_name, sql FROM sqlite_schema WHERE type = 'trigger' ORDER BY name")?;
    let triggers = statement.query_map([], |row| {
        let sql: String = row.get(2)?;
        // The line ends of the checkout that created the file do not matter.
        Ok((Trigger { name: row.get(0)?, table: row.get(1)? }, sql.replace("\r\n", "\n")))
    })?;
    triggers.collect()
}
