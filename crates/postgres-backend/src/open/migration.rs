//! Migrations of the schema, and the table of the applied ones.

use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use super::OpenError;
use crate::{advisory::lock_number, row_security};

/// One migration.
struct Migration {
    id: i32,
    name: &'static str,
    sql: &'static str,
}

/// All migrations, in order. A released migration never changes.
const MIGRATIONS: &[Migration] =
    &[Migration { id: 1, name: "initial", sql: include_str!("../../migrations/0001_initial.sql") }];

/// The marker in the SQL after a table that can be partitioned.
const MARK: &str = "/*partitioned*/";

impl Migration {
    fn checksum(&self) -> blake3::Hash {
        blake3::hash(self.sql.as_bytes())
    }

    /// Returns the statements, with `partitions` partitions for each table that can have them.
    fn statements(&self, partitions: u32) -> String {
        if partitions == 0 {
            return self.sql.replace(MARK, "");
        }
        let mut sql = self.sql.replace(MARK, "PARTITION BY HASH (tenant, thread)");
        let tables = self.sql.split("CREATE TABLE throughline.").skip(1);
        for table in tables.filter(|table| table.split(';').next().is_some_and(|made| made.contains(MARK))) {
            let name = table.split_whitespace().next().unwrap_or_default();
            for remainder in 0..partitions {
                sql.push_str(&format!(
                    "\nCREATE TABLE throughline.{name}_{remainder} PARTITION OF throughline.{name} \
                     FOR VALUES WITH (MODULUS {partitions}, REMAINDER {remainder});"
                ));
            }
        }
        sql
    }
}

/// A process that opens the store waits for the others, so that each migration runs once.
const LOCK: &str = concat!("SELECT pg_advisory_xact_lock(", lock_number!(migration), ")");

const LEDGER: &str = "CREATE SCHEMA throughline; CREATE TABLE throughline.migrations (id integer PRIMARY KEY, \
    name text COLLATE \"C\" NOT NULL, checksum bytea NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())";

/// Migrates the schema to this version, in one transaction.
pub(super) async fn migrate(
    db: &mut PgConnection,
    partitions: u32,
    row_security: bool,
) -> Result<(), OpenError> {
    // Each statement must see the commits that happened while this process waited for the lock, whatever default
    // the role has.
    sqlx::raw_sql("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE").execute(&mut *db).await?;
    let migrated = take(db, partitions, row_security).await;
    let end = if migrated.is_ok() { "COMMIT" } else { "ROLLBACK" };
    sqlx::raw_sql(end).execute(&mut *db).await?;
    migrated?;
    // Verified again: `COMMIT` of an aborted transaction reports no error.
    match missing(db).await? {
        0 => Ok(()),
        _ => Err(sqlx::Error::Protocol("the migrations were not committed".into()).into()),
    }
}

async fn take(db: &mut PgConnection, partitions: u32, row_security: bool) -> Result<(), OpenError> {
    sqlx::raw_sql(LOCK).execute(&mut *db).await?;
    // A migration concerns the rows of all tenants.
    sqlx::raw_sql(row_security::WIDEN).execute(&mut *db).await?;
    if !exists(db).await? {
        sqlx::raw_sql(LEDGER).execute(&mut *db).await?;
    }
    let taken = missing(db).await?;
    let due = MIGRATIONS.len() - taken.min(MIGRATIONS.len());
    for migration in &MIGRATIONS[due..] {
        sqlx::raw_sql(AssertSqlSafe(migration.statements(partitions))).execute(&mut *db).await?;
        sqlx::query("INSERT INTO throughline.migrations (id, name, checksum) VALUES ($1, $2, $3)")
            .bind(migration.id)
            .bind(migration.name)
            .bind(migration.checksum().as_bytes().as_slice())
            .persistent(false)
            .execute(&mut *db)
            .await?;
    }
    row_security::raise(db, row_security).await
}

/// Returns whether the schema exists.
///
/// # Errors
/// [`OpenError::Foreign`] if it does not belong to a store.
async fn exists(db: &mut PgConnection) -> Result<bool, OpenError> {
    let made = sqlx::query(
        "SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = 'throughline') AS schema, \
         to_regclass('throughline.migrations') IS NOT NULL AS ledger",
    )
    .persistent(false)
    .fetch_one(db)
    .await?;
    match (made.try_get("schema")?, made.try_get("ledger")?) {
        (true, false) => Err(OpenError::Foreign),
        (schema, _) => Ok(schema),
    }
}

/// Refuses a schema that is absent, or not of this version. Changes nothing.
pub(super) async fn expect_current(db: &mut PgConnection) -> Result<(), OpenError> {
    if !exists(db).await? {
        return Err(OpenError::Missing);
    }
    let applied = MIGRATIONS.len() - missing(db).await?;
    match MIGRATIONS.get(applied) {
        Some(next) => Err(OpenError::Older { id: next.id }),
        None => Ok(()),
    }
}

/// Checks the applied migrations and returns how many are missing.
async fn missing(db: &mut PgConnection) -> Result<usize, OpenError> {
    // A simple query with text results: outside of a transaction, a pooler may use another connection for the
    // second step of a prepared one.
    let sql = "SELECT id, name, encode(checksum, 'hex') AS checksum FROM throughline.migrations ORDER BY id";
    let rows = sqlx::raw_sql(sql).fetch_all(db).await?;
    for (at, row) in rows.iter().enumerate() {
        let id: i32 = row.try_get("id")?;
        let Some(migration) = MIGRATIONS.get(at) else { return Err(OpenError::Newer { id }) };
        let (name, checksum): (&str, &str) = (row.try_get("name")?, row.try_get("checksum")?);
        if (id, name, checksum) != (migration.id, migration.name, &*migration.checksum().to_hex()) {
            return Err(OpenError::Changed { id });
        }
    }
    Ok(MIGRATIONS.len() - rows.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_that_is_keyed_by_thread_can_be_partitioned() {
        let whole = MIGRATIONS[0].statements(0);
        assert!(!whole.contains("PARTITION"));
        let divided = MIGRATIONS[0].statements(3);
        assert_eq!(divided.matches("PARTITION BY HASH (tenant, thread)").count(), 11);
        assert_eq!(divided.matches("PARTITION OF").count(), 33);
        assert!(divided.contains(
            "CREATE TABLE throughline.messages_2 PARTITION OF throughline.messages \
             FOR VALUES WITH (MODULUS 3, REMAINDER 2);"
        ));
    }

    #[test]
    fn the_ids_are_in_order() {
        assert!(MIGRATIONS.iter().map(|migration| migration.id).eq(1..=MIGRATIONS.len() as i32));
    }
}
