//! The key of the fingerprints of idempotent calls, in the row of the store as a whole.

use std::sync::{PoisonError, RwLock};

use sqlx::{Connection as _, PgConnection, Row as _};
use throughline_core::{Effect, ErrorKind, FingerprintKey, PersistError, Result};
use tokio::time::timeout;

use super::OpenError;
use crate::options::Settings;

/// The key that was made with the schema, or that came with the store that this one follows.
pub(crate) struct StoreKey(RwLock<FingerprintKey>);

impl StoreKey {
    pub(super) async fn read(db: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let row = sqlx::raw_sql("SELECT encode(fingerprint_key, 'hex') AS key FROM throughline.store")
            .fetch_one(db)
            .await?;
        let hex: String = row.try_get("key")?;
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        let bytes: Option<Vec<u8>> = hex.as_bytes().chunks(2).map(byte).collect();
        let bytes = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        let key = bytes.ok_or_else(|| {
            sqlx::Error::Protocol("the fingerprint key of the store is not 32 bytes long".to_owned())
        })?;
        Ok(Self(RwLock::new(FingerprintKey::from_bytes(key))))
    }

    /// The key.
    pub(crate) fn key(&self) -> FingerprintKey {
        *self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the key of the store that this one follows from now on.
    pub(crate) async fn replace(&self, settings: &Settings, key: FingerprintKey) -> Result<()> {
        if self.key() == key {
            return Ok(());
        }
        let failed = |why: String| {
            let detail = format!(
                "the fingerprint key of the store that is followed was not written: {why}; start the mirror again"
            );
            PersistError::new(ErrorKind::Unavailable, detail).with_effect(Effect::Unknown)
        };
        let limit = settings.options.answer_limit;
        let written = timeout(limit, async {
            let mut db = settings
                .servers
                .connect(limit)
                .await
                .map_err(|error| failed(OpenError::from(error).to_string()))?
                .connection;
            let hex: String = key.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
            let update = format!(
                "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; \
                 UPDATE throughline.store SET fingerprint_key = decode('{hex}', 'hex'); COMMIT"
            );
            sqlx::raw_sql(sqlx::AssertSqlSafe(update))
                .execute(&mut db)
                .await
                .map_err(|error| failed(error.to_string()))?;
            db.close().await.map_err(|error| failed(error.to_string()))
        });
        written.await.unwrap_or_else(|_| Err(failed("the server did not answer in time".to_owned())))?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = key;
        Ok(())
    }
}
