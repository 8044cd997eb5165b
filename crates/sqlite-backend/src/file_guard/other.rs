//! Systems without locks of open file descriptions: SQLite's own are all there is.

use std::{path::Path, sync::Arc};

use super::Identity;
use crate::error::EngineError;

#[derive(Debug)]
pub(crate) struct FileGuard;

#[derive(Debug)]
#[must_use = "dropped, the lock is given back"]
pub(crate) struct WriteLock;

impl FileGuard {
    pub(crate) const fn new(_: &Path) -> Self {
        Self
    }

    pub(crate) const fn exchange(
        self: &Arc<Self>,
        _: Option<(Identity, Identity)>,
    ) -> Result<WriteLock, EngineError> {
        Ok(WriteLock)
    }

    pub(crate) const fn is_written_elsewhere(&self) -> bool {
        false
    }

    pub(crate) const fn has_second_library_still(&self) -> bool {
        false
    }

    pub(crate) const fn may_checkpoint(&self) -> Result<bool, EngineError> {
        Ok(true)
    }

    pub(crate) const fn unlock(&self) {}
}
