//! Named points of the writer at which a test can make a fault happen: end the process, block, or make SQLite fail.
//!
//! Without the feature `failpoints` there are none, and the calls compile to nothing.

#![cfg_attr(
    not(feature = "failpoints"),
    allow(
        unreachable_pub,
        dead_code,
        reason = "without the feature no code outside of the crate names the failpoints"
    )
)]

/// A point that the writer passes, in the order of one transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Failpoint {
    /// The store is being opened: SQLite has read the file, and the store has only the locks that it takes before that.
    Opening,
    /// The schema of a new or older file is written, but not committed.
    Migrating,
    /// On Linux: the connection has released its write lock, and the store has not taken its own.
    Exchanging,
    /// On Linux: the store holds the write lock and no second SQLite library has the file open, but the store has not
    /// checked whether another writer committed since before the transaction began.
    Exchanged,
    /// The writer holds the write lock, and has taken nothing from the queue.
    Begun,
    /// The writer has taken a write from the queue, and applied nothing of it.
    Applying,
    /// The writer has applied a write, but not committed it.
    Applied,
    /// The writer has written the rows of all applied writes, and looks for further writes of the transaction.
    Flushed,
    /// The writer has applied all writes, but not sent `COMMIT`. An error here simulates a `COMMIT` that failed and was
    /// not applied.
    Committing,
    /// `COMMIT` has returned, but no caller has an answer. An error here simulates a `COMMIT` that failed although it
    /// was applied.
    Committed,
    /// Every caller has an answer.
    Answered,
    /// A commit failed. The writer has read its outcome, but not yet committed the fence transaction that makes this
    /// outcome final.
    Fencing,
    /// The fence transaction has committed, but no caller has an answer.
    Fenced,
    /// The writer is about to checkpoint the WAL.
    Checkpointing,
    /// The writer is about to remove blobs that no row names. It holds the write lock.
    Collecting,
    /// The store is closing: all writes are applied, and the file is still open.
    Closing,
}

impl Failpoint {
    /// All failpoints.
    pub const ALL: [Self; 16] = [
        Self::Opening,
        Self::Migrating,
        Self::Exchanging,
        Self::Exchanged,
        Self::Begun,
        Self::Applying,
        Self::Applied,
        Self::Flushed,
        Self::Committing,
        Self::Committed,
        Self::Answered,
        Self::Fencing,
        Self::Fenced,
        Self::Checkpointing,
        Self::Collecting,
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

    /// The hook that runs at the failpoints.
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
        /// The error with which the test wants SQLite to fail.
        pub(crate) fn reach(&self, point: Failpoint, connection: &Connection) -> rusqlite::Result<()> {
            // The lock is not held while the hook runs: the hook may wait for a test that sets the next one.
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

/// The version without hooks.
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
