//! Places in the writer where a test may interfere: to end the process there, to hold it, to have SQLite fail.
//!
//! Without the feature `failpoints` there are none, and reaching one is no code at all.

#![cfg_attr(
    not(feature = "failpoints"),
    allow(unreachable_pub, dead_code, reason = "without the feature nobody outside names the places")
)]

/// A place that the writer comes through, in the order of one transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Failpoint {
    /// The schema of a fresh or older file is written, and not committed.
    Migrating,
    /// On Linux: the connection gave its write lock back, and the store has not taken its own.
    Exchanging,
    /// The write lock is held, and nothing was taken from the queue.
    Begun,
    /// A write was taken from the queue, and nothing of it was applied.
    Applying,
    /// A write was applied, and not committed.
    Applied,
    /// Everything was applied, and `COMMIT` was not sent. An error stands for a `COMMIT` that failed and left nothing.
    Committing,
    /// `COMMIT` came back, and nobody was told. An error stands for a `COMMIT` that failed and came true.
    Committed,
    /// Everyone was told.
    Answered,
    /// A commit failed; what became of it was looked up, and nothing was committed after it that makes that final.
    Fencing,
    /// What became of a commit was found out, and nobody was told.
    Fenced,
    /// The log is about to be folded into the file.
    Checkpointing,
    /// The store is being closed: everything is applied, and the file is still open.
    Closing,
}

impl Failpoint {
    /// Each of them.
    pub const ALL: [Self; 12] = [
        Self::Migrating,
        Self::Exchanging,
        Self::Begun,
        Self::Applying,
        Self::Applied,
        Self::Committing,
        Self::Committed,
        Self::Answered,
        Self::Fencing,
        Self::Fenced,
        Self::Checkpointing,
        Self::Closing,
    ];
}

#[cfg(any(test, feature = "failpoints"))]
mod armed {
    use std::{
        fmt,
        sync::{Arc, Mutex, PoisonError},
    };

    use rusqlite::{Connection, ffi};

    use super::Failpoint;

    type Hook = Arc<dyn Fn(Failpoint, &Connection) -> Result<(), i32> + Send + Sync>;

    /// What happens at the places.
    #[derive(Clone, Default)]
    pub(crate) struct Failpoints(Arc<Mutex<Option<Hook>>>);

    impl Failpoints {
        pub(crate) fn none() -> Self {
            Self::default()
        }

        pub(crate) fn set(
            &self,
            hook: impl Fn(Failpoint, &Connection) -> Result<(), i32> + Send + Sync + 'static,
        ) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(hook));
        }

        /// # Errors
        /// What the test wants SQLite to fail with.
        pub(crate) fn reach(&self, point: Failpoint, connection: &Connection) -> rusqlite::Result<()> {
            // Not held while it runs: it may wait for a test that sets the next one.
            let hook = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let Some(hook) = hook else { return Ok(()) };
            hook(point, connection)
                .map_err(|code| rusqlite::Error::SqliteFailure(ffi::Error::new(code), None))
        }
    }

    impl fmt::Debug for Failpoints {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("Failpoints").finish_non_exhaustive()
        }
    }
}

#[cfg(any(test, feature = "failpoints"))]
pub(crate) use armed::Failpoints;

/// Nothing happens anywhere.
#[cfg(not(any(test, feature = "failpoints")))]
#[derive(Debug, Clone)]
pub(crate) struct Failpoints;

#[cfg(not(any(test, feature = "failpoints")))]
impl Failpoints {
    pub(crate) const fn none() -> Self {
        Self
    }

    pub(crate) const fn reach(&self, _: Failpoint, _: &rusqlite::Connection) -> rusqlite::Result<()> {
        Ok(())
    }
}
