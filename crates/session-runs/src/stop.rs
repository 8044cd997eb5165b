//! The stop of a run: its reasons, and the signal of the host.

use std::{fmt, future::Future, pin::Pin};

use tokio::time::Instant;

/// The reason why a run must stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StopReason {
    /// The host requested the stop with [`PreparedRun::until`](crate::PreparedRun::until).
    Requested,
    /// After the run began, the host reset the sessions or cleared the thread. The run cannot be confirmed.
    Superseded,
    /// The lease has expired or is about to expire: the store did not answer in time, or another run holds the lease.
    LeaseLost,
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Requested => "the host asked for it",
            Self::Superseded => "the sessions were reset since it began",
            Self::LeaseLost => "its lease was lost",
        })
    }
}

/// A request to stop, and the instant at which the runner drops the closure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StopRequest {
    pub(crate) reason: StopReason,
    pub(crate) deadline: Instant,
}

/// The future by which the host stops a run.
pub(crate) struct StopSignal<'a> {
    /// `None` without a signal, and after its end.
    signal: Option<Pin<Box<dyn Future<Output = ()> + Send + 'a>>>,
    has_ended: bool,
}

impl<'a> StopSignal<'a> {
    /// Returns a signal that never ends.
    pub(crate) const fn never() -> Self {
        Self { signal: None, has_ended: false }
    }

    pub(crate) fn new(signal: impl Future<Output = ()> + Send + 'a) -> Self {
        Self { signal: Some(Box::pin(signal)), has_ended: false }
    }

    /// Waits for the end of the signal. Every later call returns at once.
    pub(crate) async fn ended(&mut self) {
        if self.has_ended {
            return;
        }
        match &mut self.signal {
            Some(signal) => signal.await,
            None => std::future::pending().await,
        }
        (self.signal, self.has_ended) = (None, true);
    }
}
