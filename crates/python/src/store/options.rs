//! The options of `open`.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use throughline::{IndexedMetadata, Result, TenantId};

use crate::{
    error::invalid,
    layers::{LayerOptions, seconds},
};

/// The arguments of `throughline.open`, as JSON.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OpenOptions {
    pub(super) tenant: Option<TenantId>,
    pub(super) create: bool,
    pub(super) search: bool,
    deadline: Option<f64>,
    pub(super) layers: Vec<LayerOptions>,
    pub(super) options: BackendOptions,
}

/// `throughline.StoreOptions`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct BackendOptions {
    pub(super) readers: Option<u32>,
    pub(super) writers: Option<usize>,
    pub(super) queue_operations: Option<usize>,
    pub(super) queue_bytes: Option<usize>,
    pub(super) wait_limit: Option<f64>,
    pub(super) max_content_bytes: Option<u64>,
    pub(super) changes_kept: Option<u64>,
    pub(super) blobs_above: Option<u64>,
    pub(super) free_space_floor: Option<u64>,
    pub(super) wal_limit: Option<u64>,
    pub(super) indexed_metadata: Option<Vec<String>>,
    pub(super) pgbouncer: Option<bool>,
    pub(super) prepared_statements: Option<bool>,
    pub(super) listen_at: Option<String>,
    pub(super) row_security: Option<bool>,
}

impl OpenOptions {
    pub(super) fn deadline(&self) -> Result<Option<Duration>> {
        self.deadline.map(seconds).transpose()
    }

    /// Whether two calls of `open` mean the same store. The tenant is that of the handle, and `create` is about the file.
    pub(super) fn is_same_store(&self, other: &Self) -> bool {
        let of_store = |options: &Self| Self { tenant: None, create: true, ..options.clone() };
        of_store(self) == of_store(other)
    }
}

impl BackendOptions {
    /// The metadata fields of messages that the store indexes.
    pub(super) fn indexed(&self) -> Result<IndexedMetadata> {
        let names = self.indexed_metadata.as_deref().unwrap_or_default();
        IndexedMetadata::new(names).map_err(|error| invalid(format!("options: indexed_metadata: {error}")))
    }

    /// Refuses an option that is set, and that the backend does not take.
    pub(super) fn refuse_others(&self, backend: &str, takes: &[&str]) -> Result<()> {
        let all = serde_json::to_value(self).unwrap_or_default();
        let set = all.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
        match set.map(|(name, _)| name).find(|name| !takes.contains(&name.as_str())) {
            Some(other) => Err(invalid(format!("options: {backend} has no option `{other}`"))),
            None => Ok(()),
        }
    }
}
