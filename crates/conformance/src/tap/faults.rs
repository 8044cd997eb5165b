use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use throughline_core::{Effect, ErrorKind, OpKind, PersistError, Result};

use super::Tap;

/// The error of a failing store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The store is busy and has applied nothing.
    Busy,
    /// The store cannot be reached and has applied nothing.
    Unreachable,
    /// The store has applied the call, and the answer is lost.
    AnswerLost,
}

impl Fault {
    fn error(self) -> PersistError {
        match self {
            Self::Busy => PersistError::new(ErrorKind::Busy, "the write lock is held"),
            Self::Unreachable => {
                PersistError::new(ErrorKind::Unavailable, "no connection").with_effect(Effect::NotApplied)
            }
            Self::AnswerLost => {
                PersistError::new(ErrorKind::Unavailable, "the connection broke").with_effect(Effect::Unknown)
            }
        }
    }
}

/// Makes a backend fail in the next writes.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    coming: Mutex<Vec<Fault>>,
    attempts: AtomicUsize,
}

impl Faults {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Fails the next `count` writes with this fault.
    pub(crate) fn next(&self, fault: Fault, count: usize) {
        self.coming.lock().expect("the list of faults").extend(std::iter::repeat_n(fault, count));
    }

    /// The number of writes that have reached the backend since the last call of this function.
    pub(crate) fn attempts(&self) -> usize {
        self.attempts.swap(0, Ordering::SeqCst)
    }

    fn take(&self, wanted: impl Fn(Fault) -> bool) -> Result<()> {
        let mut coming = self.coming.lock().expect("the list of faults");
        match coming.first().copied() {
            Some(fault) if wanted(fault) => {
                coming.remove(0);
                Err(fault.error())
            }
            _ => Ok(()),
        }
    }
}

impl Tap for Faults {
    async fn before(&self, kind: OpKind) -> Result<()> {
        if !kind.is_write() {
            return Ok(());
        }
        self.attempts.fetch_add(1, Ordering::SeqCst);
        self.take(|fault| fault != Fault::AnswerLost)
    }

    async fn after(&self, kind: OpKind) -> Result<()> {
        if kind.is_write() { self.take(|fault| fault == Fault::AnswerLost) } else { Ok(()) }
    }
}
