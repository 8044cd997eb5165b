use std::time::{Duration, Instant};

use throughline_core::{PersistError, Position};

/// How far a follower is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lag {
    /// Positions of the store that is followed which the follower has not come to.
    pub changes: u64,
    /// How long ago both were last found equal, or since when it is copied for the first time.
    pub behind: Duration,
}

/// What a mirror is at.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum MirrorState {
    /// It has not yet been equal since it was started.
    Copying,
    /// It has been equal, and follows.
    Following,
    /// It has stopped: nothing follows any more.
    Stopped {
        /// What it cannot go on after; none where it was told to stop.
        why: Option<PersistError>,
    },
}

/// How it stands with a mirror.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MirrorStatus {
    /// What it is at.
    pub state: MirrorState,
    /// How many images it has put in their places since it was started.
    pub images: u64,
    /// How often a call has failed, and was made again.
    pub failures: u64,
    /// What failed last.
    pub last_failure: Option<PersistError>,
    /// What the store that is followed holds and cannot read, by name: the first [`MirrorStatus::MAX_DAMAGED`]. It is not carried.
    pub damaged: Vec<String>,
    /// The position of the store that is followed, as it was last seen.
    pub position: Position,
    pub(super) carried: Position,
    pub(super) equal_at: Instant,
}

impl MirrorStatus {
    /// How many damaged rows are named.
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

    /// How far the follower is behind now.
    #[must_use]
    pub fn lag(&self) -> Lag {
        let changes = self.position.get().saturating_sub(self.carried.get());
        Lag { changes, behind: self.equal_at.elapsed() }
    }

    /// Whether nothing follows any more.
    #[must_use]
    pub const fn is_stopped(&self) -> bool {
        matches!(self.state, MirrorState::Stopped { .. })
    }
}
