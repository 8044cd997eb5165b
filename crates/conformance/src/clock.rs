use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use throughline_core::{Timestamp, pipeline::Clock};

/// A clock that only the check advances. Clones are the same clock.
#[derive(Debug, Clone)]
pub(crate) struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    /// The time at the beginning of every check, in every process of it.
    pub(crate) const START: Timestamp = Timestamp::from_micros(1_700_000_000_123_456);

    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicI64::new(Self::START.as_micros())))
    }

    pub(crate) fn set(&self, now: Timestamp) {
        self.0.store(now.as_micros(), Ordering::SeqCst);
    }

    pub(crate) fn advance(&self, by: Duration) -> Timestamp {
        let now = self.now().plus(by);
        self.set(now);
        now
    }

    pub(crate) fn go_back(&self, by: Duration) -> Timestamp {
        let micros = i64::try_from(by.as_micros()).expect("a short time");
        let now = Timestamp::from_micros(self.now().as_micros() - micros);
        self.set(now);
        now
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}
