//! Examines a store that must not be changed.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use throughline_core::backend::search::Tokenizer;
use tokio::time::timeout;

use super::{OpenError, in_time, look, migration};
use crate::{options::Settings, row_security, search::State};

/// Returns the tokenizer of the full-text index, if the store has an index.
///
/// It takes no lock, so that it neither waits for a process that migrates the store nor makes one wait.
pub(crate) async fn examine(settings: &Settings) -> Result<Option<Tokenizer>, OpenError> {
    let limit = settings.options.answer_limit;
    let mut db = settings.servers.connect(limit).await?.connection;
    let index = in_time(settings, examine_once(settings, &mut db)).await?;
    // The server may be gone meanwhile.
    drop(timeout(limit, db.close()).await);
    Ok(index)
}

/// Examines the store in one read-only transaction.
async fn examine_once(settings: &Settings, db: &mut PgConnection) -> Result<Option<Tokenizer>, OpenError> {
    // Behind a pooler, the former user of the server connection may have left prepared statements with the driver's
    // names.
    let names = if settings.options.pgbouncer { "DEALLOCATE ALL; " } else { "" };
    let begin = format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {names}");
    sqlx::raw_sql(AssertSqlSafe(begin)).execute(&mut *db).await?;
    look(db, settings.options.pgbouncer).await?;
    migration::expect_current(db).await?;
    row_security::expect(db, settings.options.row_security).await?;
    let index = State::read(&mut *db).await?.tokenizer();
    sqlx::raw_sql("ROLLBACK").execute(db).await?;
    Ok(index)
}
