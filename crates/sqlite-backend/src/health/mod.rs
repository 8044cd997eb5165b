//! The health state of a store: whether it accepts writes, and its alarms.

mod state;
mod watchdog;

pub(crate) use self::state::HealthState;
pub use self::watchdog::{WriterStep, WriterWait};

/// The health of a store at one moment: [`Maintenance::health`](crate::Maintenance::health).
///
/// The store also emits each change of the condition and of the alarms as a `tracing` event, with the target
/// `throughline_sqlite`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// Whether the store accepts writes.
    pub condition: Condition,
    /// The active alarms, each once.
    pub alarms: Vec<Alarm>,
    /// The number of failures of the writer since its last success. A refused call, a full disk, and a lock that
    /// another process holds do not count.
    pub failures: u32,
    /// The last failure of the writer, even if it works again. It contains nothing of the written data.
    pub last_failure: Option<String>,
    /// The length of the WAL (the `-wal` file), in bytes.
    pub wal_bytes: u64,
    /// The step in which the writer has been for two seconds or longer, and the time so far: the disk hangs. The alarm
    /// [`WriterWaits`](Alarm::WriterWaits) reports the same.
    pub writer_waits: Option<WriterWait>,
}

/// Whether a store accepts writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Condition {
    /// The store accepts writes.
    Writable,
    /// The writer failed repeatedly for a second or longer. The store refuses writes with `Unavailable` and
    /// `NotApplied`, and answers reads as far as possible. The writer tries to commit several times a second, and
    /// accepts writes again after the first success.
    ReadOnly,
    /// The store was closed.
    Closed,
}

/// A condition that an operator should look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Alarm {
    /// The WAL is longer than its [limit](crate::SqliteOptions::wal_limit) and cannot be truncated: a reader has held
    /// one snapshot of the store for a long time.
    WalTooLong,
    /// The disk has less space than the [floor](crate::SqliteOptions::free_space_floor): the store refuses writes with
    /// `StorageFull` and `NotApplied`.
    SpaceLow,
    /// A second SQLite library in this process has the file open, such as Python's own or another crate's copy. It and
    /// the store do not see each other's locks. So writes wait until it has closed the file, and fail with `Busy` and
    /// `NotApplied` at their timeout.
    SecondLibrary,
    /// The disk could not read a part of the file or of its WAL (`EIO`). Calls that need that part fail as
    /// `Unavailable`. The alarm ends when both can be read again, as far as one second of reading reaches.
    DiskUnreadable,
    /// The writer has been in one step for two seconds or longer; [`Health::writer_waits`] names the step. The disk
    /// hangs, or one operation is very large. Until the step ends, writes are answered only by their deadlines, and
    /// [`close`](throughline_core::Persistence::close) waits;
    /// [`close_within`](throughline_core::Persistence::close_within) does not.
    WriterWaits,
}

impl Health {
    pub(crate) const fn new() -> Self {
        Self {
            condition: Condition::Writable,
            alarms: Vec::new(),
            failures: 0,
            last_failure: None,
            wal_bytes: 0,
            writer_waits: None,
        }
    }

    /// Returns whether the store accepts writes and has no alarm.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.condition == Condition::Writable && self.alarms.is_empty()
    }

    /// Returns whether both have the same condition and the same alarms.
    pub(crate) fn is_equivalent(&self, other: &Self) -> bool {
        self.condition == other.condition && self.alarms == other.alarms
    }
}
