//! The file that maintenance reads, in a way that changes no file where the store was opened to be read.

use std::{path::Path, sync::Arc};

use rusqlite::Connection;
use throughline_core::Result;

use super::{STEPS_BETWEEN_LOOKS, Stop, failed};
use crate::{
    connection::connect_to_read, error::EngineError, file_guard::MaintenanceRead, read_only::Access,
};

/// The attempts to read a closed store. Each failed one means that a process opened or closed the store meanwhile.
const ATTEMPTS: u32 = 5;

/// The file of a store.
#[derive(Debug, Clone)]
pub(super) struct Source {
    path: Arc<Path>,
    /// Whether the read must leave every file as it is.
    is_read_only: bool,
}

impl Source {
    pub(super) const fn new(path: Arc<Path>, is_read_only: bool) -> Self {
        Self { path, is_read_only }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `work` on a connection of its own. Blocks.
    pub(super) fn read<T>(&self, stop: &Stop, mut work: impl FnMut(&Connection) -> Result<T>) -> Result<T> {
        self.connect(stop, |connected| work(&connected.map_err(failed)?))
    }

    /// Runs `work` on a connection of its own, or on the reason why there is none. Repeats it if another process opened or
    /// closed the store meanwhile, so that the result is not about one state of the file.
    pub(super) fn connect<T>(
        &self,
        stop: &Stop,
        mut work: impl FnMut(rusqlite::Result<Connection>) -> Result<T>,
    ) -> Result<T> {
        let _reading = MaintenanceRead::begin(&self.path);
        if !self.is_read_only {
            return work(connect_to_read(&self.path).and_then(|db| interruptible(db, stop)));
        }
        for _ in 0..ATTEMPTS {
            stop.check()?;
            let access = Access::of(&self.path)?;
            let result = work(access.connect(&self.path).and_then(|db| interruptible(db, stop)));
            if !access.is_checked_after() || Access::of(&self.path)? == access {
                return result;
            }
        }
        Err(EngineError::Changing.into())
    }
}

/// Interrupts the statements of a connection whose caller has left.
fn interruptible(connection: Connection, stop: &Stop) -> rusqlite::Result<Connection> {
    let stop = stop.clone();
    connection.progress_handler(STEPS_BETWEEN_LOOKS, Some(move || stop.is_wanted()))?;
    Ok(connection)
}
