//! The index of metadata: the declared names, and the building of an index from stored messages.
//!
//! The table `metadata_names` has the names that any host of the store declared, and `store.metadata_version` grows with each of its
//! changes, by a random number. Each transaction writes the entries of all of them. It decides with the names of a version, and compares the
//! version when it holds the row of the store: if a host has declared a name meanwhile, the transaction is decided again.

mod build;
mod declare;

use std::sync::{Arc, Mutex, PoisonError};

use sqlx::{PgConnection, Row as _};
use throughline_core::IndexedMetadata;

pub(crate) use self::{build::keep, declare::declare};
use crate::error::damaged;

/// The declared names, each with its number.
#[derive(Debug, Default)]
pub(crate) struct MetadataNames {
    pub(crate) version: i64,
    names: Vec<(String, i32)>,
    pub(crate) indexed: IndexedMetadata,
    /// Whether an index is to be built or removed.
    pub(crate) has_work: bool,
}

const READ: &str = "SELECT s.metadata_version, n.n, n.name, n.is_complete FROM throughline.store s \
    LEFT JOIN throughline.metadata_names n ON true WHERE s.id = 1 ORDER BY n.n";

impl MetadataNames {
    /// Reads the names that hosts have declared.
    ///
    /// A host that opens the store reads them outside of a transaction, where a pooler can change the server connection between the
    /// preparation and the execution of a statement. A statement without parameters needs no preparation.
    pub(crate) async fn read(db: &mut PgConnection) -> sqlx::Result<Self> {
        let rows = sqlx::raw_sql(READ).fetch_all(db).await?;
        let first = rows.first().ok_or_else(|| damaged("the row of the store".to_owned()))?;
        let mut read = Self { version: first.try_get("metadata_version")?, ..Self::default() };
        for row in &rows {
            let Some(n) = row.try_get("n")? else { continue };
            read.has_work |= !row.try_get::<bool, _>("is_complete")?;
            if let Some(name) = row.try_get("name")? {
                read.names.push((name, n));
            }
        }
        let names = read.names.iter().map(|(name, _)| name.as_str());
        read.indexed = IndexedMetadata::new(names)
            .map_err(|invalid| damaged(format!("the table of indexed metadata: {invalid}")))?;
        Ok(read)
    }

    /// Returns the number of a name.
    pub(crate) fn number(&self, name: &str) -> Option<i32> {
        self.names.iter().find(|(of, _)| of == name).map(|(_, n)| *n)
    }
}

/// The names that this host has read last.
#[derive(Debug, Default)]
pub(crate) struct NamesCache(Mutex<Arc<MetadataNames>>);

impl NamesCache {
    /// Returns the names that this host has read last.
    pub(crate) fn last(&self) -> Arc<MetadataNames> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns the names of a version of the table: reads them again if the cache has another version.
    pub(crate) async fn of_version(
        &self,
        db: &mut PgConnection,
        version: i64,
    ) -> sqlx::Result<Arc<MetadataNames>> {
        let known = self.last();
        if known.version == version {
            return Ok(known);
        }
        let read = Arc::new(MetadataNames::read(db).await?);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&read);
        Ok(read)
    }
}
