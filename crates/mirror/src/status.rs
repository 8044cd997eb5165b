use std::time::{Duration, Instant};

use throughline_core::{PersistError, Position};

/// The lag of a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lag {
    /// The number of positions of the primary that the replica has not reached.
    pub changes: u64,
    /// The time since both stores were last equal, or since the first copy began.
    pub behind: Duration,
}

/// The state of a mirror.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum MirrorState {
    /// The replica has not been equal since the start.
    Copying,
    /// The replica has been equal, and receives further changes.
    Replicating,
    /// The mirror has stopped.
    Stopped {
        /// The permanent failure. `None` after a call of [`stop`](crate::Mirror::stop).
        why: Option<PersistError>,
    },
}

/// The status of a mirror.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MirrorStatus {
    /// The state of the mirror.
    pub state: MirrorState,
    /// The number of applied row images since the start.
    pub images: u64,
    /// The number of failed and retried calls.
    pub failures: u64,
    /// The last failure.
    pub last_failure: Option<PersistError>,
    /// The names of damaged rows in the primary, at most [`MirrorStatus::MAX_DAMAGED`]. They are not copied.
    pub damaged: Vec<String>,
    /// The last known position of the primary.
    pub position: Position,
    pub(super) carried: Position,
    pub(super) equal_at: Instant,
}

impl MirrorStatus {
    /// The most listed damaged rows.
    pub const MAX_DAMAGED: usize = 100;

    pub(super) fn new() -> Self {
        Self {
            state: MirrorState::Copying,
            images: 0,
            failures: 0,
            last_failure: None,
            damaged: Vec::new(),
            position: Position::ZERO,
            carried: Position::ZERO,
            equal_at: Instant::now(),
        }
    }

    /// The current lag of the replica.
    #[must_use]
    pub fn lag(&self) -> Lag {
        let changes = self.position.get().saturating_sub(self.carried.get());
        Lag { changes, behind: self.equal_at.elapsed() }
    }

    /// Whether the mirror has stopped.
    #[must_use]
    pub const fn is_stopped(&self) -> bool {
        matches!(self.state, MirrorState::Stopped { .. })
    }
}
