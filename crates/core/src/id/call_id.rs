use std::{
    fmt,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use crate::id::mint_uuid;

/// Names one call in logs and errors: unique in the process and, but for chance, between processes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CallId {
    process: u64,
    number: u64,
}

impl CallId {
    /// The next one. A counter under a random prefix: a fifth of the price of a UUID.
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
