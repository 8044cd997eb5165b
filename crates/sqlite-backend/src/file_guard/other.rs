//! The guard for systems without OFD locks: it relies on SQLite's own locks.

use std::{path::Path, sync::Arc};

use rusqlite::Connection;

use super::Identity;
use crate::{error::EngineError, failpoint::Failpoints};

#[derive(Debug)]
pub(crate) struct FileGuard;

#[derive(Debug)]
#[must_use = "when it is dropped, the lock is released"]
pub(crate) struct WriteLock;

#[derive(Debug)]
#[must_use = "when it is dropped, others can open the store"]
pub(crate) struct CheckpointLock;

impl FileGuard {
    pub(crate) fn new(_: &Path, _: Failpoints) -> Self {
        Self
    }

    pub(crate) const fn exchange(
        self: &Arc<Self>,
        _: &Connection,
        _: Option<(Identity, Identity)>,
    ) -> Result<WriteLock, EngineError> {
        Ok(WriteLock)
    }

    /// SQLite's lock does not reveal its holder.
    pub(crate) const fn is_written_elsewhere(&self) -> Option<bool> {
        None
    }

    pub(crate) const fn still_has_second_library(&self) -> bool {
        false
    }

    pub(crate) const fn may_checkpoint(&self) -> Result<bool, EngineError> {
        Ok(true)
    }

    pub(crate) const fn lock_for_checkpoint(self: &Arc<Self>) -> Result<Option<CheckpointLock>, EngineError> {
        Ok(Some(CheckpointLock))
    }

    pub(crate) const fn expect_database(&self) -> Result<(), EngineError> {
        Ok(())
    }

    /// The state is unknown.
    pub(crate) const fn is_checkpointed(&self) -> bool {
        false
    }

    pub(crate) const fn unlock(&self) {}
}

pub(crate) fn while_none_is_closed<T>(open: impl FnOnce() -> T) -> T {
    open()
}

pub(crate) const fn close_inherited() {}

pub(crate) const fn is_inherited(_: &Path) -> bool {
    false
}
