//! How a store is: whether it can be written, and what asks for somebody's attention.

mod state;
mod watchdog;

pub(crate) use self::state::HealthState;
pub use self::watchdog::{WriterStep, WriterWait};

/// How a store is at one moment: [`Maintenance::health`](crate::Maintenance::health).
///
/// Each change of the condition and of the alarms is also an event of `tracing`, with the target `throughline_sqlite`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// Whether it can be written.
    pub condition: Condition,
    /// What asks for attention, each once.
    pub alarms: Vec<Alarm>,
    /// How often the writer has failed since it last succeeded. A call that was refused for what it asked is no failure,
    /// nor is a full disk or a lock that another process holds.
    pub failures: u32,
    /// The last failure of the writer, also of one that works again. It holds nothing of what was written.
    pub last_failure: Option<String>,
    /// How long the log of the file (its `-wal`) is, in bytes.
    pub log_bytes: u64,
    /// What the writer has been waiting in for two seconds or longer, and for how long by now: a disk that hangs. The alarm
    /// [`WriterWaits`](Alarm::WriterWaits) says the same.
    pub writer_waits: Option<WriterWait>,
}

/// Whether a store can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Condition {
    /// It takes writes.
    Writable,
    /// Its writer failed again and again for a second or longer. Writes are refused with `Unavailable` and `NotApplied`,
    /// reads are answered as far as they can be. The writer goes on trying, several times a second, and takes writes
    /// again as soon as a commit succeeds.
    ReadOnly,
    /// It was closed.
    Closed,
}

/// What asks for somebody's attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Alarm {
    /// The WAL is longer than its [limit](crate::SqliteOptions::log_limit) and cannot be truncated: a reader has held one snapshot of
    /// the store for long.
    LogTooLong,
    /// The disk has less space than the [floor](crate::SqliteOptions::free_space_floor): writes are refused with
    /// `StorageFull` and `NotApplied`.
    SpaceLow,
    /// A second SQLite library in this process has the file open: Python's own, another crate's copy. It and the store do
    /// not see each other's locks, so writes wait until it has closed the file, and are refused with `Busy` and
    /// `NotApplied` by then.
    SecondLibrary,
    /// The disk could not read a part of the file or of its log (`EIO`). Calls that need it are refused with `Unavailable`.
    /// It is over once both can be read again, as far as one second of reading goes.
    DiskUnreadable,
    /// The writer has been in one step for two seconds or longer; [`Health::writer_waits`] says in which. The disk hangs, or one
    /// operation is very large. Writes are not answered meanwhile but by their deadlines, and [`close`](throughline_core::Persistence::close) waits:
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
            log_bytes: 0,
            writer_waits: None,
        }
    }

    /// Whether the store takes writes and nothing asks for attention.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.condition == Condition::Writable && self.alarms.is_empty()
    }

    /// Whether a host would say the same of both.
    fn is_like(&self, other: &Self) -> bool {
        self.condition == other.condition && self.alarms == other.alarms
    }
}
