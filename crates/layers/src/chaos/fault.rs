use std::time::Duration;

use throughline_core::{Effect, ErrorKind};

/// A fault that a rule injects into a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault(pub(super) FaultKind);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FaultKind {
    /// Fails without forwarding the call.
    Before(ErrorKind),
    /// Forwards the call, and fails after it has succeeded.
    After(ErrorKind, Effect),
    Delay(Duration),
    Hang,
    HangAfter,
    Panic,
    PanicAfter,
}

impl Fault {
    /// Fails the call with this kind without forwarding it: nothing is applied.
    #[must_use]
    pub const fn before(kind: ErrorKind) -> Self {
        Self(FaultKind::Before(kind))
    }

    /// Forwards the call, and after its success returns an error of this kind that states that the write is applied.
    #[must_use]
    pub const fn after(kind: ErrorKind) -> Self {
        Self(FaultKind::After(kind, Effect::Applied))
    }

    /// Forwards the call, and after its success returns an error of this kind with an unknown outcome.
    #[must_use]
    pub const fn lost_answer(kind: ErrorKind) -> Self {
        Self(FaultKind::After(kind, Effect::Unknown))
    }

    /// Delays the call by this time, on tokio's clock, which tests can pause.
    #[must_use]
    pub const fn delay(by: Duration) -> Self {
        Self(FaultKind::Delay(by))
    }

    /// Never forwards the call and never answers, until the caller drops it or a deadline ends it.
    #[must_use]
    pub const fn hang() -> Self {
        Self(FaultKind::Hang)
    }

    /// Forwards the call, and never answers.
    #[must_use]
    pub const fn hang_after() -> Self {
        Self(FaultKind::HangAfter)
    }

    /// Panics instead of forwarding the call.
    #[must_use]
    pub const fn panic() -> Self {
        Self(FaultKind::Panic)
    }

    /// Forwards the call, and panics after it has succeeded: the write is applied.
    #[must_use]
    pub const fn panic_after() -> Self {
        Self(FaultKind::PanicAfter)
    }
}
