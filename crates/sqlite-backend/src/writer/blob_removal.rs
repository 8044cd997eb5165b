//! Removes blobs between the transactions of the writer.

use super::{begin::begin_own, worker::Worker};
use crate::{error::EngineError, failpoint::Failpoint};

impl Worker {
    /// Removes some of the blobs that no row names, if it is time for that.
    pub(super) fn collect_blobs(&mut self) {
        if self.health_state.is_read_only() || self.file_identity.lost.is_some() {
            return;
        }
        let Some(connection) = self.connection.take() else { return };
        if let Err(error) = self.unnamed_blobs.search(&connection) {
            tracing::warn!(target: "throughline_sqlite", %error, "the search for blobs that no message has failed");
        }
        if !self.unnamed_blobs.has_candidates() {
            self.connection = Some(connection);
            return;
        }
        let mut remove = || -> Result<(), EngineError> {
            let unnamed = self.unnamed_blobs.take_unnamed(&connection)?;
            if unnamed.is_empty() {
                return Ok(());
            }
            let hashes = unnamed.iter().map(|(hash, _)| *hash);
            // A reader or a backup with an older snapshot may still need them.
            if !self.wal.shrink(&connection, &self.health_state, &self.failpoints)? {
                self.unnamed_blobs.add(hashes);
                self.unnamed_blobs.retry_later();
                return Ok(());
            }
            let removed = (|| {
                let _transaction = begin_own(&connection, &self.file_identity, &self.guard)?;
                self.failpoints.reach(Failpoint::Collecting, &connection)?;
                // The transaction changes nothing, and is rolled back.
                self.unnamed_blobs.remove(&connection, &unnamed).map_err(EngineError::from)
            })();
            if removed.is_err() {
                self.unnamed_blobs.add(hashes);
                self.unnamed_blobs.retry_later();
            }
            removed
        };
        match remove() {
            Ok(()) => self.connection = Some(connection),
            // Another process writes: the blobs can wait.
            Err(error) if error.is_busy() && connection.is_autocommit() => self.connection = Some(connection),
            Err(error) => {
                drop(connection);
                self.failed(&error.caused(&self.path));
            }
        }
    }
}
