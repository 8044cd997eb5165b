//! A read on its way to a reader, and its answer on the way back.

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

use crate::{error::EngineError, fair_queue::Queued};

/// What is done on the thread of a reader.
pub(super) type Work = Box<dyn FnOnce(&Connection) -> Result<ReadResult> + Send>;

/// Until when a read is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// When its caller gives up that no reader has begun with.
    pub(super) timeout_at: Instant,
    /// When a reader that has begun with it is interrupted.
    pub(super) deadline: Option<Instant>,
}

/// How far a read has come. Nothing else is shared through it: what is read and the answer go their own ways.
#[derive(Debug)]
pub(super) struct Stage {
    state: AtomicU8,
    deadline: Option<Instant>,
}

/// No reader has taken it.
const WAITS: u8 = 0;
/// A reader is at it, or has answered.
const BEGUN: u8 = 1;
/// Nobody waits for it any more.
const LEFT: u8 = 2;

impl Stage {
    /// Whether a reader that comes to it is to read.
    pub(super) fn begin(&self) -> bool {
        self.state.compare_exchange(WAITS, BEGUN, Relaxed, Relaxed).is_ok()
    }

    /// Takes it back, if no reader has taken it.
    fn withdraw(&self) -> bool {
        self.state.compare_exchange(WAITS, LEFT, Relaxed, Relaxed).is_ok()
    }

    /// Whether nobody waits for it any more.
    pub(super) fn is_left(&self) -> bool {
        self.state.load(Relaxed) == LEFT
    }

    /// Whether its deadline has passed.
    pub(super) fn is_late(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }
}

/// The end of the reader. Dropped without an answer, its caller learns that the reader was lost.
pub(super) struct Call {
    pub(super) tenant: TenantId,
    pub(super) work: Work,
    pub(super) stage: Arc<Stage>,
    pub(super) answer: oneshot::Sender<Result<ReadResult>>,
}

/// The end of the caller. Dropped, the read is not begun, or ends soon.
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
    /// Waits for the answer of the reader that has the read in hand.
    pub(super) async fn answer(mut self) -> Result<ReadResult> {
        (&mut self.answer).await.unwrap_or_else(|_| Err(EngineError::ReaderLost.into()))
    }

    /// Waits for the answer of whichever reader takes the read, if one does before `withdraw`.
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
        self.stage.state.store(LEFT, Relaxed);
    }
}
