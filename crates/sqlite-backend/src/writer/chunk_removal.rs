//! Deletes the chunks of ended messages between the transactions of the writer.

use super::{begin::begin_own, transaction::execute, worker::Worker};
use crate::{error::EngineError, health::WriterStep};

impl Worker {
    /// Returns whether the writer can delete obsolete chunks.
    pub(super) fn can_remove_chunks(&self) -> bool {
        self.connection.is_some() && self.file_identity.lost.is_none() && !self.health_state.is_read_only()
    }

    /// Deletes some of the obsolete chunks. Returns whether it could.
    pub(super) fn continue_chunk_removal(&mut self) -> bool {
        if !self.can_remove_chunks() {
            return false;
        }
        let Some(connection) = self.connection.take() else { return false };
        let mut has_begun = false;
        let mut run_step = || -> Result<(), EngineError> {
            {
                let _transaction = begin_own(&connection, &self.file_identity, &self.guard)?;
                has_begun = true;
                let wrote = self.obsolete_chunks.run_step(&connection)?;
                execute(&connection, if wrote { "COMMIT" } else { "ROLLBACK" })?;
                if !wrote {
                    return Ok(());
                }
            }
            self.wal.on_commit(&connection, 0, &self.health_state, &self.failpoints)
        };
        self.health_state.begin_step(WriterStep::Apply);
        let continued = run_step().map_err(|error| error.caused(&self.path));
        self.health_state.end_step();
        let Err(error) = continued else {
            self.connection = Some(connection);
            return true;
        };
        if has_begun {
            self.obsolete_chunks.restart();
        } else {
            self.obsolete_chunks.failed();
        }
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
