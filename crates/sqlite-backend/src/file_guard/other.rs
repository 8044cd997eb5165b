//! The guard for systems without OFD locks: it relies on SQLite's own locks.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rusqlite::Connection;

use super::Identity;
use crate::{error::EngineError, failpoint::Failpoints, reader_barrier::ReaderBarrier};

#[derive(Debug)]
pub(crate) struct FileGuard {
    /// A sync of the file failed. Only the next opening of the store copies all pages of the WAL again.
    has_lost_copies: AtomicBool,
}

#[derive(Debug)]
#[must_use = "when it is dropped, the lock is released"]
pub(crate) struct WriteLock;

#[derive(Debug)]
#[must_use = "when it is dropped, others can open the store"]
pub(crate) struct CheckpointLock;

/// Nothing is compared.
#[derive(Debug)]
pub(crate) struct BeforeBegin;

#[derive(Debug)]
pub(crate) struct Waiting;

#[derive(Debug)]
pub(crate) struct MaintenanceRead;

impl MaintenanceRead {
    pub(crate) const fn begin(_: &Path) -> Self {
        Self
    }
}

impl FileGuard {
    pub(crate) fn new(_: &Path, _: Arc<ReaderBarrier>, _: Failpoints) -> Self {
        Self { has_lost_copies: AtomicBool::new(false) }
    }

    pub(crate) const fn lock_before_open(&self) -> Result<bool, EngineError> {
        Ok(false)
    }

    pub(crate) const fn open_files(&self) -> Result<(), EngineError> {
        Ok(())
    }

    pub(crate) const fn opened(&self) -> Option<(Identity, Identity)> {
        None
    }

    /// Handles a failed sync of the file: no checkpoint runs any more.
    pub(crate) fn sync_failed(&self) {
        self.has_lost_copies.store(true, Ordering::Relaxed);
    }

    /// Returns whether the file may lack pages that SQLite counts as copied into it.
    pub(crate) fn has_lost_copies(&self) -> bool {
        self.has_lost_copies.load(Ordering::Relaxed)
    }

    pub(crate) const fn before_begin(&self) -> Result<BeforeBegin, EngineError> {
        Ok(BeforeBegin)
    }

    pub(crate) const fn exchange(
        self: &Arc<Self>,
        _: &Connection,
        _: &BeforeBegin,
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

    pub(crate) fn lock_for_checkpoint(self: &Arc<Self>) -> Result<Option<CheckpointLock>, EngineError> {
        Ok((!self.has_lost_copies()).then_some(CheckpointLock))
    }

    pub(crate) const fn may_have_moved_marks(&self) -> bool {
        false
    }

    pub(crate) const fn expect_database(&self) -> Result<(), EngineError> {
        Ok(())
    }

    /// The state is unknown.
    pub(crate) const fn is_checkpointed(&self) -> bool {
        false
    }

    pub(crate) const fn announce_wait(self: &Arc<Self>) -> Waiting {
        Waiting
    }

    /// No store announces that it waits.
    pub(crate) const fn is_awaited(&self) -> bool {
        false
    }

    /// SQLite has removed it.
    pub(crate) const fn remove_wal(&self) {}
}

pub(crate) fn while_none_is_closed<T>(open: impl FnOnce() -> T) -> T {
    open()
}

pub(crate) const fn close_inherited() {}

pub(crate) const fn is_inherited(_: &Path) -> bool {
    false
}

/// Without descriptors of the store's own, reading the file would drop SQLite's locks.
pub(crate) const fn unreadable(_: &Path) -> Option<(PathBuf, u64, io::Error)> {
    None
}

pub(crate) const fn is_unreadable(_: &Path) -> bool {
    false
}
