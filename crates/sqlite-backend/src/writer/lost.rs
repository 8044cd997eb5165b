//! Handles a store whose file, WAL or wal-index was removed while it was open.
//!
//! A removed file lives as long as its descriptors are open. So the writer checkpoints the WAL into the file as soon as
//! it detects the removal, and again when it closes. If that is impossible, closing the store is an error: acknowledged
//! writes are lost with the descriptors.

use std::sync::Arc;

use rusqlite::Connection;
use throughline_core::{PersistError, Result};

use super::{file_identity::FileIdentity, wal::run_checkpoint, worker::Worker};
use crate::{
    connection,
    error::{EngineError, Phase},
    file_guard::FileGuard,
};

/// Checkpoints the WAL of the connection into the file, as far as possible. The connection is in no transaction.
pub(super) fn checkpoint_into_file(
    connection: &Connection,
    file_identity: &mut FileIdentity,
    guard: &Arc<FileGuard>,
) {
    if file_identity.can_checkpoint() {
        match guard.lock_for_checkpoint() {
            Ok(Some(_lock)) => {
                if let Ok(Some(0)) = run_checkpoint(connection, guard, "PRAGMA wal_checkpoint(PASSIVE)") {
                    file_identity.record_checkpointed();
                }
            }
            Ok(None) => {}
            Err(error) => file_identity.failed(&error),
        }
    }
}

impl Worker {
    /// Closes a store of which a file was removed, as `error` says.
    ///
    /// # Errors
    /// The file at the path of the store lacks acknowledged writes.
    pub(super) fn close_lost(mut self, error: EngineError) -> Result<()> {
        if let Some(connection) = self.connection.take() {
            checkpoint_into_file(&connection, &mut self.file_identity, &self.guard);
            // The WAL at the path now may belong to other connections.
            connection::keep_wal_on_close(&connection);
            drop(connection);
        }
        if self.guard.is_checkpointed() {
            // Before the damage, or by another store.
            self.file_identity.record_checkpointed();
        }
        if self.file_identity.is_checkpointed_into_file() && self.file_identity.expect_file().is_ok() {
            return Ok(());
        }
        Err(lacks_writes(error))
    }
}

fn lacks_writes(error: EngineError) -> PersistError {
    let context_text = "close failed: the file at the path of the store lacks acknowledged writes";
    error.to_persist(Phase::Commit).with_source(error).context(context_text)
}
