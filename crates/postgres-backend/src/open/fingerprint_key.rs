//! The key of the fingerprints for idempotency keys. It is stored in the row of the store.

use std::sync::{PoisonError, RwLock};

use sqlx::{PgConnection, Row as _};
use throughline_core::operations::FingerprintKey;

/// The key that was created with the schema, or that came from the primary of this replica.
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

    /// Returns the key.
    pub(crate) fn key(&self) -> FingerprintKey {
        *self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the key with the one that was written to the store.
    pub(crate) fn replace(&self, key: FingerprintKey) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = key;
    }
}
