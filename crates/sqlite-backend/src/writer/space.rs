//! Leaving some of the disk free.
//!
//! A disk that is full to the last byte is where a store is hurt most: a commit fails half way, and with small blocks
//! the operating system ends a process whose mapped index of the log it cannot write (`SIGBUS`).

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use throughline_core::{Effect, ErrorKind, PersistError};

use crate::health::{Alarm, Board};

/// How often it is measured while there is too little and nobody writes.
const AGAIN: Duration = Duration::from_secs(1);

/// The space beside one file.
#[derive(Debug)]
pub(super) struct Space {
    directory: PathBuf,
    floor: u64,
    is_low: bool,
}

impl Space {
    pub(super) fn new(path: &Path, floor: u64) -> Self {
        let directory = path.parent().unwrap_or(path).to_owned();
        Self { directory, floor, is_low: false }
    }

    /// How long the writer waits for a write before it measures again.
    pub(super) fn patience(&self) -> Option<Duration> {
        self.is_low.then_some(AGAIN)
    }

    /// Whether there is space for writes. Asked before each transaction, which costs a thousandth of it: how much a
    /// write takes of the disk is not known from its bytes, while the log cannot be folded.
    ///
    /// # Errors
    /// What a write is told when there is not. A disk that cannot be asked is for SQLite to complain of.
    pub(super) fn check(&mut self, board: &Board) -> Result<(), PersistError> {
        if self.floor == 0 {
            return Ok(());
        }
        let available = available(&self.directory);
        let was_low = std::mem::replace(&mut self.is_low, available < self.floor);
        if self.is_low != was_low {
            board.set_alarm(Alarm::SpaceLow, self.is_low);
        }
        if self.is_low { Err(too_little(available, self.floor)) } else { Ok(()) }
    }
}

/// How many bytes can still be written in a directory.
pub(crate) fn available(directory: &Path) -> u64 {
    fs4::available_space(directory).unwrap_or(u64::MAX)
}

fn too_little(available: u64, floor: u64) -> PersistError {
    let detail = format!("the disk has {available} bytes left, and {floor} are kept free");
    PersistError::new(ErrorKind::StorageFull, detail).with_effect(Effect::NotApplied)
}
