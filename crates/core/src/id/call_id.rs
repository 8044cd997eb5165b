use std::{
    fmt,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use crate::id::mint_uuid;

/// The id of one call in logs and errors. It is unique in the process, and practically unique between processes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CallId {
    process: u64,
    number: u64,
}

impl CallId {
    /// Returns the next id: a counter after a random prefix, which costs a fifth of a UUID.
    pub(crate) fn next() -> Self {
        static PROCESS: LazyLock<u64> = LazyLock::new(|| mint_uuid(SystemTime::now()).as_u64_pair().1);
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        Self { process: *PROCESS, number: NUMBER.fetch_add(1, Ordering::Relaxed) }
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{:x}", self.process, self.number)
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
