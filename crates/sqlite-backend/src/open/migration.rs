//! The schema migrations, and the ledger of the migrations that a file has.

use std::path::Path;

use rusqlite::{Connection, params};

use super::{
    OpenError,
    identity::{Identity, Unfit, examine},
    trigger::{Trigger, foreign_triggers_of},
};
use crate::connection::APPLICATION_ID;

/// One migration. It never changes once a file may have it: the ledger holds its checksum.
struct Migration {
    id: i64,
    name: &'static str,
    sql: &'static str,
}

const MIGRATIONS: &[Migration] = &[
    Migration { id: 1, name: "initial", sql: include_str!("../../migrations/0001_initial.sql") },
    Migration {
        id: 2,
        name: "search_without_copies",
        sql: include_str!("../../migrations/0002_search_without_copies.sql"),
    },
    Migration {
        id: 3,
        name: "audit_counted_by_the_writer",
        sql: include_str!("../../migrations/0003_audit_counted_by_the_writer.sql"),
    },
    Migration {
        id: 4,
        name: "chunks_deleted_together",
        sql: include_str!("../../migrations/0004_chunks_deleted_together.sql"),
    },
    Migration {
        id: 5,
        name: "vocabularies_of_shards",
        sql: include_str!("../../migrations/0005_vocabularies_of_shards.sql"),
    },
];

/// The schema that this version writes.
pub(super) const LATEST: i64 = MIGRATIONS.len() as i64;

const LEDGER: &str = "
    CREATE TABLE migrations (
        id       INTEGER PRIMARY KEY,
        name     TEXT NOT NULL,
        checksum TEXT NOT NULL
    ) STRICT";

impl Migration {
    /// Returns the checksum of the text, independent of the platform's line ends.
    fn checksum(&self) -> String {
        blake3::hash(self.sql.replace("\r\n", "\n").as_bytes()).to_hex().as_str().to_owned()
    }

    /// Records the migration in the ledger.
    fn record(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection.execute(
            "INSERT INTO migrations (id, name, checksum) VALUES (?1, ?2, ?3)",
            params![self.id, self.name, self.checksum()],
        )?;
        Ok(())
    }

    fn describe(&self) -> String {
        entry(self.name, &self.checksum())
    }
}

fn entry(name: &str, checksum: &str) -> String {
    let start: String = checksum.chars().take(16).collect();
    format!("`{name}` with checksum {start}…")
}

/// Compares the ledger of a file of this schema with the migrations of this version.
pub(super) fn check(connection: &Connection, path: &Path, schema: i64) -> Result<(), Unfit> {
    check_schema(connection, path, &[LEDGER])?;
    let nothing = || "nothing".to_owned();
    let mut taken = connection.prepare("SELECT id, name, checksum FROM migrations ORDER BY id")?;
    let taken: Vec<(i64, String, String)> = taken
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let differs = |id, found, expected| {
        Err(Unfit::File(OpenError::Ledger { path: path.to_owned(), id, found, expected }))
    };
    let expected = MIGRATIONS.iter().filter(|migration| migration.id <= schema);
    let mut entries = taken.iter();
    for migration in expected {
        match entries.next() {
            Some((id, name, checksum))
                if *id == migration.id && name == migration.name && *checksum == migration.checksum() => {}
            Some((id, name, checksum)) => return differs(*id, entry(name, checksum), migration.describe()),
            None => return differs(migration.id, nothing(), migration.describe()),
        }
    }
    if let Some((id, name, checksum)) = entries.next() {
        return differs(*id, entry(name, checksum), nothing());
    }
    let steps = MIGRATIONS.iter().filter(|migration| migration.id <= schema).map(|migration| migration.sql);
    let fresh = check_schema(connection, path, &steps.collect::<Vec<_>>())?;
    match foreign_triggers_of(connection, &fresh)?.into_iter().next() {
        Some(Trigger { name, table }) => {
            Err(Unfit::File(OpenError::Trigger { path: path.to_owned(), name, table }))
        }
        None => Ok(()),
    }
}

/// Returns an empty in-memory store, as this version creates it.
pub(super) fn fresh() -> rusqlite::Result<Connection> {
    let fresh = Connection::open_in_memory()?;
    create_tables(&fresh)?;
    Ok(fresh)
}

/// Creates the tables and indexes of this version in an empty file, without entries in the ledger.
pub(crate) fn create_tables(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(LEDGER)?;
    for migration in MIGRATIONS {
        connection.execute_batch(migration.sql)?;
    }
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", LATEST)
}

/// A table or an index, as the file describes it.
#[derive(PartialEq, Eq)]
struct Object {
    kind: String,
    name: String,
    table: String,
    sql: Option<String>,
}

impl Object {
    fn all(of: &Connection) -> rusqlite::Result<Vec<Self>> {
        let mut statement = of.prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema")?;
        let objects = statement.query_map([], |row| {
            let sql: Option<String> = row.get(3)?;
            // A build from a checkout with the line ends of another platform creates the same object.
            let sql = sql.map(|sql| sql.replace("\r\n", "\n"));
            Ok(Self { kind: row.get(0)?, name: row.get(1)?, table: row.get(2)?, sql })
        })?;
        objects.collect()
    }
}

/// Compares the tables, indexes and triggers of a file with those that these migrations create: SQLite would misread a table
/// whose description is damaged. Returns an empty in-memory store of these migrations.
fn check_schema(connection: &Connection, path: &Path, steps: &[&str]) -> Result<Connection, Unfit> {
    let fresh = Connection::open_in_memory()?;
    for step in steps {
        fresh.execute_batch(step)?;
    }
    let found = Object::all(connection)?;
    match Object::all(&fresh)?.into_iter().find(|object| !found.contains(object)) {
        Some(Object { kind, name, .. }) => Err(Unfit::File(OpenError::Damaged {
            path: path.to_owned(),
            found: format!("the {kind} `{name}` differs from the one that its migration created"),
        })),
        None => Ok(fresh),
    }
}

/// Applies the missing migrations, in the transaction of the caller, which holds the write lock.
pub(super) fn apply(connection: &Connection, path: &Path) -> Result<(), Unfit> {
    let schema = match examine(connection, path)? {
        Identity::Fresh => {
            connection.execute_batch(LEDGER)?;
            connection.pragma_update(None, "application_id", APPLICATION_ID)?;
            0
        }
        Identity::Store(schema) => schema,
    };
    for migration in MIGRATIONS.iter().filter(|migration| migration.id > schema) {
        connection.execute_batch(migration.sql)?;
        migration.record(connection)?;
    }
    Ok(connection.pragma_update(None, "user_version", LATEST)?)
}

/// Rewrites the ledger of a file whose tables and indexes are exactly those that the first migrations create. It runs
/// in the transaction of the caller, which holds the write lock.
pub(super) fn repair(connection: &Connection, path: &Path) -> Result<(), Unfit> {
    let refused = match examine(connection, path) {
        Err(Unfit::File(refused @ OpenError::Ledger { .. })) => refused,
        other => return other.map(drop),
    };
    let Some(taken) = steps_by_tables(connection)? else { return Err(Unfit::File(refused)) };
    connection.execute("DELETE FROM migrations", [])?;
    for migration in MIGRATIONS.iter().filter(|migration| migration.id <= taken) {
        migration.record(connection)?;
    }
    Ok(connection.pragma_update(None, "user_version", taken)?)
}

/// Returns how many migrations a file has, as its tables and triggers show, if only migrations created its tables.
fn steps_by_tables(connection: &Connection) -> rusqlite::Result<Option<i64>> {
    let is_internal = |object: &Object| object.name.starts_with("sqlite_");
    let is_table = |object: &&Object| !is_internal(object) && object.kind != "trigger";
    let found = Object::all(connection)?;
    let fresh = Connection::open_in_memory()?;
    fresh.execute_batch(LEDGER)?;
    for migration in MIGRATIONS {
        fresh.execute_batch(migration.sql)?;
        let mut made = Object::all(&fresh)?;
        made.retain(|object| !is_internal(object));
        // There are more triggers while a copy of the store is running.
        let has_others = made.iter().filter(is_table).count() != found.iter().filter(is_table).count();
        if !has_others && made.iter().all(|object| found.contains(object)) {
            return Ok(Some(migration.id));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_numbered_from_one() {
        let ids: Vec<i64> = MIGRATIONS.iter().map(|migration| migration.id).collect();
        assert_eq!(ids, (1..=LATEST).collect::<Vec<_>>());
    }

    #[test]
    fn a_released_migration_never_changes() {
        let sums: Vec<String> = MIGRATIONS.iter().map(Migration::checksum).collect();
        assert_eq!(
            sums,
            [
                "c40b6d54c635e2416496a3fe38128db06915856e122f483ac5deba42e32d13c9",
                "6203e75e88f7dd62c5b6e889cd3a305fe32386417691f12eba9392b59386123a",
                "6aac5a2b872a806316fde581672a9ab5d0ec4786793228cebbe9920f2ceb1e33",
                "bfec4454fd61a4c2083143339589e3eed818399792212ee4df9821165603a2c2",
                "c33204b8d3f499ad12e5cac66cb59a93dd2f46df8933ab5cc705b006c75a5724",
            ]
        );
    }
}
