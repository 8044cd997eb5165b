//! Examines a store that must not be changed.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use throughline_core::{IndexedMetadata, backend::search::Tokenizer};
use tokio::time::timeout;

use super::{OpenError, expect_kept_statements, in_time, look, migration};
use crate::{metadata_index::MetadataNames, options::Settings, row_security, search::State};

/// The indexes of a store: the tokenizer of its full-text index, if it has one, and the indexed metadata.
type Searchable = (Option<Tokenizer>, IndexedMetadata);

/// Returns the indexes of the store.
///
/// It takes no lock, so that it neither waits for a process that migrates the store nor makes one wait.
pub(crate) async fn examine(settings: &Settings) -> Result<Searchable, OpenError> {
    let limit = settings.options.answer_limit;
    let mut db = settings.servers.connect(limit).await?.connection;
    let index = in_time(settings, examine_once(settings, &mut db)).await?;
    // The server may be gone meanwhile.
    drop(timeout(limit, db.close()).await);
    Ok(index)
}

/// Examines the store in one read-only transaction.
async fn examine_once(settings: &Settings, db: &mut PgConnection) -> Result<Searchable, OpenError> {
    expect_kept_statements(settings, db).await?;
    let begin = format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {}", settings.forget_names());
    sqlx::raw_sql(AssertSqlSafe(begin)).execute(&mut *db).await?;
    look(db, settings.options.pgbouncer).await?;
    migration::expect_current(db).await?;
    row_security::expect(db, settings.options.row_security).await?;
    let tokenizer = State::read(&mut *db).await?.tokenizer();
    let indexed = MetadataNames::read(&mut *db).await?.indexed;
    sqlx::raw_sql("ROLLBACK").execute(db).await?;
    Ok((tokenizer, indexed))
}
