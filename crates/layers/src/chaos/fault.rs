use std::time::Duration;

use throughline_core::{Effect, ErrorKind};

/// What is done to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault(pub(super) What);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// Fails without passing the call on.
    Before(ErrorKind),
    /// Passes it on, and fails once it has succeeded.
    After(ErrorKind, Effect),
    Delay(Duration),
    Hang,
    HangAfter,
    Panic,
    PanicAfter,
}

impl Fault {
    /// The call fails with this kind and is not passed on: nothing was applied.
    #[must_use]
    pub const fn before(kind: ErrorKind) -> Self {
        Self(What::Before(kind))
    }

    /// The call is passed on and succeeds; what its caller gets is an error of this kind which says that the write stands.
    #[must_use]
    pub const fn after(kind: ErrorKind) -> Self {
        Self(What::After(kind, Effect::Applied))
    }

    /// The call is passed on and succeeds; what its caller gets is an error of this kind which says that the outcome is
    /// unknown.
    #[must_use]
    pub const fn lost_answer(kind: ErrorKind) -> Self {
        Self(What::After(kind, Effect::Unknown))
    }

    /// The call is passed on after this time, by the clock of tokio: it can be paused.
    #[must_use]
    pub const fn delay(by: Duration) -> Self {
        Self(What::Delay(by))
    }

    /// The call is not passed on and never ends, until its caller leaves or a deadline ends it.
    #[must_use]
    pub const fn hang() -> Self {
        Self(What::Hang)
    }

    /// The call is passed on, and its answer never comes.
    #[must_use]
    pub const fn hang_after() -> Self {
        Self(What::HangAfter)
    }

    /// The layer panics instead of passing the call on.
    #[must_use]
    pub const fn panic() -> Self {
        Self(What::Panic)
    }

    /// The layer panics over the answer: the write stands.
    #[must_use]
    pub const fn panic_after() -> Self {
        Self(What::PanicAfter)
    }
}
