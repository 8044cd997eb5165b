//! Declares the names of a host that opens the store.

use sqlx::PgConnection;
use throughline_core::IndexedMetadata;

use super::MetadataNames;
use crate::{OpenError, row_security};

/// Serializes the hosts, and the transactions that write entries: each of them updates this row.
///
/// The version grows by a random number: a standby that was promoted without a declaration does not give its version to another one, so a host never
/// takes the names that it has cached for those of the new primary.
const HOLD: &str = "UPDATE throughline.store SET metadata_version = metadata_version + 1 \
    + (hashtextextended(gen_random_uuid()::text, 0) & ((1::bigint << 40) - 1)) WHERE id = 1";

const DROP: &str = "UPDATE throughline.metadata_names SET name = NULL, is_complete = false, recovered_tenant = '', \
    recovered_thread = '', recovered_id = '' WHERE name = $1";

/// The index of a new name is complete if the store has no message.
const ADD: &str = "INSERT INTO throughline.metadata_names \
    (n, name, is_complete, recovered_tenant, recovered_thread, recovered_id) \
    SELECT coalesce(max(n), 0) + 1, $1, NOT EXISTS (SELECT 1 FROM throughline.messages), '', '', '' \
    FROM throughline.metadata_names";

/// Declares the names of a host, and removes names that no host needs any more. Returns whether an index is to be built or
/// removed.
pub(crate) async fn declare(
    db: &mut PgConnection,
    (declared, dropped): (&IndexedMetadata, &IndexedMetadata),
) -> Result<bool, OpenError> {
    let stored = MetadataNames::read(db).await?;
    let is_same = declared.iter().all(|name| stored.indexed.contains(name))
        && !dropped.iter().any(|name| stored.indexed.contains(name));
    if is_same {
        return Ok(stored.has_work);
    }
    sqlx::raw_sql("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE").execute(&mut *db).await?;
    let changed = change(db, (declared, dropped)).await;
    let end = if changed.is_ok() { "COMMIT" } else { "ROLLBACK" };
    sqlx::raw_sql(end).execute(&mut *db).await?;
    changed?;
    let stored = MetadataNames::read(db).await?;
    // Verified again: `COMMIT` of an aborted transaction reports no error.
    if declared.iter().all(|name| stored.indexed.contains(name)) {
        Ok(stored.has_work)
    } else {
        Err(sqlx::Error::Protocol("the names of indexed metadata were not committed".into()).into())
    }
}

async fn change(
    db: &mut PgConnection,
    (declared, dropped): (&IndexedMetadata, &IndexedMetadata),
) -> Result<(), OpenError> {
    // The messages of all tenants decide whether an index is complete.
    sqlx::raw_sql(row_security::WIDEN).execute(&mut *db).await?;
    sqlx::raw_sql(HOLD).execute(&mut *db).await?;
    for name in dropped.iter() {
        sqlx::query(DROP).bind(name).persistent(false).execute(&mut *db).await?;
    }
    let stored = MetadataNames::read(db).await?.indexed;
    let new: Vec<&str> = declared.iter().filter(|name| !stored.contains(name)).collect();
    if stored.iter().count() + new.len() > IndexedMetadata::MAX_NAMES {
        return Err(OpenError::IndexedMetadata { declared: declared.clone(), stored });
    }
    for name in new {
        sqlx::query(ADD).bind(name).persistent(false).execute(&mut *db).await?;
    }
    Ok(())
}
