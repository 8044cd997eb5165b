//! Opening a store: checks the server and migrates the schema.

mod error;
mod fingerprint_key;
mod migration;
mod read_only;

use sqlx::{Connection as _, PgConnection, Row as _, postgres::PgRow};

use tokio::time::timeout;

pub use self::error::OpenError;
pub(crate) use self::{fingerprint_key::StoreKey, read_only::examine};
use crate::{
    metadata_index,
    options::{MARK, Settings},
    pooler::{self, Refusal},
    search,
    servers::NoServer,
    warnings,
};

/// The result of opening a store.
pub(crate) struct Opened {
    /// Whether the store has a full-text index.
    pub(crate) has_index: bool,
    /// Whether an index of metadata is to be built or removed.
    pub(crate) has_metadata_work: bool,
    /// The key of the fingerprints.
    pub(crate) key: StoreKey,
}

/// Migrates the store to this version, and declares the metadata fields of the host.
pub(crate) async fn open(settings: &Settings) -> Result<Opened, OpenError> {
    if !warnings::are_enabled() {
        return Err(OpenError::LogsDisabled);
    }
    let mut db = settings.servers.connect(settings.options.answer_limit).await?.connection;
    let examined = async {
        let row = look(&mut db, settings.options.pgbouncer).await?;
        expect_kept_statements(settings, &mut db).await?;
        Ok(row)
    };
    expect_durability(&in_time(settings, examined).await?)?;
    migration::migrate(&mut db, settings.options.partitions, settings.options.row_security).await?;
    // Removes the rows of writers that ended long ago.
    sqlx::raw_sql(
        "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; \
         DELETE FROM throughline.writers WHERE seen_at < now() - interval '30 days'; COMMIT",
    )
    .execute(&mut db)
    .await?;
    let has_index = search::is_there(settings, &mut db).await?;
    let key = StoreKey::read(&mut db).await?;
    let names = (&settings.options.indexed, &settings.options.dropped);
    let has_metadata_work = metadata_index::declare(&mut db, names).await?;
    db.close().await?;
    Ok(Opened { has_index, has_metadata_work, key })
}

/// Waits for an answer of the server, up to the limit of the options.
async fn in_time<T>(
    settings: &Settings,
    asking: impl Future<Output = Result<T, OpenError>>,
) -> Result<T, OpenError> {
    timeout(settings.options.answer_limit, asking).await.unwrap_or_else(|_| {
        Err(match settings.options.pgbouncer {
            true => NoServer::Waiting,
            false => NoServer::Silent,
        }
        .into())
    })
}

/// Returns the settings of the server. Refuses a server that cannot keep the store, and a pooler that hides it.
async fn look(db: &mut PgConnection, is_pooled: bool) -> Result<PgRow, OpenError> {
    let row = sqlx::raw_sql(
        "SELECT current_setting('server_version_num')::integer AS number, current_setting('server_version') AS version, \
         current_setting('server_encoding') AS encoding, current_setting('synchronous_commit') AS synchronous_commit, \
         current_setting('fsync') AS fsync, current_setting('full_page_writes') AS full_page_writes, \
         current_setting('throughline.session', true) AS session",
    )
    .fetch_one(db)
    .await?;
    if !is_pooled && row.try_get::<Option<&str>, _>("session")? != Some(MARK) {
        return Err(OpenError::Pooler { reason: Refusal::Settings.advice() });
    }
    if row.try_get::<i32, _>("number")? < 150_000 {
        return Err(OpenError::TooOld { found: row.try_get("version")? });
    }
    let encoding: String = row.try_get("encoding")?;
    if encoding != "UTF8" {
        return Err(OpenError::Encoding { encoding });
    }
    Ok(row)
}

/// Refuses a pooler that does not keep prepared statements although the options say so.
async fn expect_kept_statements(settings: &Settings, db: &mut PgConnection) -> Result<(), OpenError> {
    if settings.options.prepared_statements {
        if !pooler::keeps_statements(db).await? {
            return Err(OpenError::Pooler { reason: pooler::PASSES_NAMES_ON });
        }
        settings.servers.set_keep_statements(true);
    }
    Ok(())
}

/// Refuses a server that would acknowledge commits before they are durable.
fn expect_durability(row: &PgRow) -> Result<(), OpenError> {
    for setting in ["fsync", "full_page_writes", "synchronous_commit"] {
        let value: String = row.try_get(setting)?;
        if value == "off" {
            return Err(OpenError::NotDurable { setting: setting.to_owned(), value });
        }
    }
    Ok(())
}
