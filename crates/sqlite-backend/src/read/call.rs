//! A read on its way from the caller to a reader, and its answer.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
    time::Instant,
};

use rusqlite::Connection;
use throughline_core::{ReadResult, Result, TenantId};
use tokio::{sync::oneshot, time::timeout_at};

use crate::{adaptive_spin::AdaptiveSpin, error::EngineError, fair_queue::Queued};

/// The work that runs on a reader thread.
pub(super) type Work = Box<dyn FnOnce(&Connection) -> Result<ReadResult> + Send>;

/// The limits on the wait of a read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// The instant at which its caller times out if no reader has begun it.
    pub(super) timeout_at: Instant,
    /// The instant at which a reader that has begun it is interrupted.
    pub(super) deadline: Option<Instant>,
}

/// The progress of a read, shared by both ends. The data and the answer do not pass through it.
#[derive(Debug)]
pub(super) struct Stage {
    state: AtomicU8,
    deadline: Option<Instant>,
}

/// No reader has taken it.
const WAITS: u8 = 0;
/// A reader works on it, or has answered.
const BEGUN: u8 = 1;
/// The caller has left.
const CANCELLED: u8 = 2;

impl Stage {
    /// Marks the read as begun. Returns false if the caller has left.
    pub(super) fn begin(&self) -> bool {
        self.state.compare_exchange(WAITS, BEGUN, Relaxed, Relaxed).is_ok()
    }

    /// Withdraws the read if no reader has taken it. Returns whether it did.
    fn withdraw(&self) -> bool {
        self.state.compare_exchange(WAITS, CANCELLED, Relaxed, Relaxed).is_ok()
    }

    /// Returns whether the caller has left.
    pub(super) fn is_cancelled(&self) -> bool {
        self.state.load(Relaxed) == CANCELLED
    }

    /// Returns whether its deadline has passed.
    pub(super) fn is_late(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }
}

/// The reader's end. If it is dropped without an answer, the caller gets the error for a lost reader.
pub(super) struct Call {
    pub(super) tenant: TenantId,
    pub(super) work: Work,
    pub(super) stage: Arc<Stage>,
    pub(super) answer: oneshot::Sender<Result<ReadResult>>,
}

/// The caller's end. If it is dropped, the read does not begin, or is interrupted soon.
#[derive(Debug)]
pub(super) struct Caller {
    answer: oneshot::Receiver<Result<ReadResult>>,
    stage: Arc<Stage>,
}

impl Call {
    pub(super) fn new(tenant: TenantId, deadline: Option<Instant>, work: Work) -> (Self, Caller) {
        let (sender, receiver) = oneshot::channel();
        let stage = Arc::new(Stage { state: AtomicU8::new(WAITS), deadline });
        let caller = Caller { answer: receiver, stage: Arc::clone(&stage) };
        (Self { tenant, work, stage, answer: sender }, caller)
    }
}

impl Queued for Call {
    fn tenant(&self) -> &TenantId {
        &self.tenant
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("tenant", &self.tenant)
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}

impl Caller {
    /// Waits for the answer of the reader that has the read. Spins while `is_alone` holds.
    pub(super) async fn answer_soon(
        mut self,
        spin: &AdaptiveSpin,
        is_alone: impl Fn() -> bool,
    ) -> Result<ReadResult> {
        spin.wait(&mut self.answer, is_alone).await.unwrap_or_else(|| Err(EngineError::ReaderLost.into()))
    }

    /// Waits for the answer of the reader that has the read.
    async fn answer(mut self) -> Result<ReadResult> {
        (&mut self.answer).await.unwrap_or_else(|_| Err(EngineError::ReaderLost.into()))
    }

    /// Waits for the answer, if a reader begins the read before `limit`.
    pub(super) async fn answer_if_begun_by(mut self, limit: Instant) -> Result<ReadResult> {
        match timeout_at(limit.into(), &mut self.answer).await {
            Ok(answer) => answer.unwrap_or_else(|_| Err(EngineError::ReaderLost.into())),
            Err(_) if self.stage.withdraw() => Err(EngineError::NoReader.into()),
            Err(_) => self.answer().await,
        }
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.stage.state.store(CANCELLED, Relaxed);
    }
}
