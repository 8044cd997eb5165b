//! Deletes the chunks of ended messages between the transactions of the writer.

use super::{begin::begin_own, transaction::execute, worker::Worker};
use crate::{error::EngineError, health::WriterStep};

impl Worker {
    /// Deletes some of the obsolete chunks. Returns whether it could.
    pub(super) fn continue_chunk_removal(&mut self) -> bool {
        if self.health_state.is_read_only() || self.file_identity.lost.is_some() {
            return false;
        }
        let Some(connection) = self.connection.take() else { return false };
        let mut run_step = || -> Result<(), EngineError> {
            let _transaction = begin_own(&connection, &self.file_identity, &self.guard)?;
            let end = if self.obsolete_chunks.run_step(&connection)? { "COMMIT" } else { "ROLLBACK" };
            Ok(execute(&connection, end)?)
        };
        self.health_state.begin_step(WriterStep::Apply);
        let continued = run_step().map_err(|error| error.caused(&self.path));
        self.health_state.end_step();
        let Err(error) = continued else {
            self.connection = Some(connection);
            return true;
        };
        self.obsolete_chunks.restart();
        // Another process writes: the chunks can wait.
        if error.is_busy() && connection.is_autocommit() {
            self.connection = Some(connection);
            return false;
        }
        drop(connection);
        if error.is_damage() {
            // `verify` reports it, and the chunks stay.
            self.obsolete_chunks.disable();
        }
        self.failed(&error);
        false
    }
}
