use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use throughline_core::{OpKind, Result};
use tokio::sync::Semaphore;

use super::Tap;

/// Pauses writes before the backend receives them, or after it has applied them.
#[derive(Debug)]
pub(crate) struct PausePoints {
    pub(crate) before: PausePoint,
    pub(crate) after: PausePoint,
}

/// A point at which a call can be paused.
#[derive(Debug)]
pub(crate) struct PausePoint {
    held: AtomicBool,
    arrived: Semaphore,
    let_through: Semaphore,
}

impl PausePoint {
    fn new() -> Self {
        Self { held: AtomicBool::new(false), arrived: Semaphore::new(0), let_through: Semaphore::new(0) }
    }

    /// Pauses every write from now on.
    pub(crate) fn pause(&self) {
        self.held.store(true, Ordering::SeqCst);
    }

    /// Waits until a write is paused here.
    pub(crate) async fn arrived(&self) {
        self.arrived.acquire().await.expect("never closed").forget();
    }

    /// Stops pausing, and resumes the paused writes.
    pub(crate) fn resume(&self) {
        self.held.store(false, Ordering::SeqCst);
        self.let_through.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    async fn pass(&self) {
        if self.held.load(Ordering::SeqCst) {
            self.arrived.add_permits(1);
            self.let_through.acquire().await.expect("never closed").forget();
        }
    }
}

impl PausePoints {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { before: PausePoint::new(), after: PausePoint::new() })
    }
}

impl Tap for PausePoints {
    async fn before(&self, kind: OpKind) -> Result<()> {
        if kind.is_write() {
            self.before.pass().await;
        }
        Ok(())
    }

    async fn after(&self, kind: OpKind) -> Result<()> {
        if kind.is_write() {
            self.after.pass().await;
        }
        Ok(())
    }
}
