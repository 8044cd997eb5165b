//! Checks the free space of the disk and keeps a floor of it free.
//!
//! A completely full disk harms a store most: a commit fails in the middle, and with small blocks the operating system
//! ends a process whose mapped wal-index it cannot write (`SIGBUS`).

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use throughline_core::{Effect, ErrorKind, PersistError};

use crate::health::{Alarm, HealthState};

/// How long a measurement is valid: less than any disk needs to write the floor.
const FRESH: Duration = Duration::from_millis(10);

/// The interval between two measurements while there is too little space and no write arrives.
const MEASURE_INTERVAL: Duration = Duration::from_secs(1);

/// The free space on the disk of one file.
#[derive(Debug)]
pub(super) struct Space {
    directory: PathBuf,
    floor: u64,
    is_low: bool,
    measured: Option<Instant>,
}

impl Space {
    pub(super) fn new(path: &Path, floor: u64) -> Self {
        let directory = path.parent().unwrap_or(path).to_owned();
        Self { directory, floor, is_low: false, measured: None }
    }

    /// Returns how long the writer waits for a write before it measures again.
    pub(super) fn timeout(&self) -> Option<Duration> {
        self.is_low.then_some(MEASURE_INTERVAL)
    }

    /// Checks that there is space for writes. It asks the disk and does not add up the bytes of the writes: the space
    /// that a write takes is unknown while the WAL cannot be checkpointed.
    ///
    /// # Errors
    /// The error of a write if there is not. If the disk gives no answer, the check succeeds and SQLite reports the
    /// error.
    pub(super) fn check(&mut self, health_state: &HealthState) -> Result<(), PersistError> {
        let is_fresh = !self.is_low && self.measured.is_some_and(|at| at.elapsed() < FRESH);
        if self.floor == 0 || is_fresh {
            return Ok(());
        }
        let available = available(&self.directory);
        self.measured = Some(Instant::now());
        let was_low = std::mem::replace(&mut self.is_low, available < self.floor);
        if self.is_low != was_low {
            health_state.set_alarm(Alarm::SpaceLow, self.is_low);
        }
        if self.is_low { Err(too_little(available, self.floor)) } else { Ok(()) }
    }
}

/// Returns how many bytes can still be written in a directory.
pub(crate) fn available(directory: &Path) -> u64 {
    fs4::available_space(directory).unwrap_or(u64::MAX)
}

fn too_little(available: u64, floor: u64) -> PersistError {
    let detail = format!("the disk has {available} bytes left, and {floor} are kept free");
    PersistError::new(ErrorKind::StorageFull, detail).with_effect(Effect::NotApplied)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_space_is_measured_repeatedly() {
        let (directory, health_state) = (tempfile::tempdir().unwrap(), HealthState::new());
        let mut space = Space::new(&directory.path().join("f.db"), u64::MAX);
        assert_eq!(space.timeout(), None);
        assert_eq!(space.check(&health_state).unwrap_err().kind(), ErrorKind::StorageFull);
        assert_eq!(space.timeout(), Some(MEASURE_INTERVAL));
        space.floor = 1;
        space.check(&health_state).unwrap();
        assert_eq!((space.timeout(), health_state.health().alarms), (None, vec![]));
    }
}
