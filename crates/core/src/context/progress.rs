//! The progress of a call in one atomic word. Errors without an effect get their effect from it.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::Effect;

/// The number of attempts at a backend, and the effects of the completed ones.
///
/// Attempts are counted because they can overlap. A retry can begin while a timed-out attempt still runs, or a layer can call two
/// stores at once. No attempt may hide the effect of another one.
#[derive(Debug, Default)]
pub(crate) struct Progress(AtomicU32);

const APPLIED: u32 = 1 << 31;
const UNKNOWN: u32 = 1 << 30;
const CANCELLED: u32 = 1 << 29;
const IN_FLIGHT: u32 = CANCELLED - 1;

impl Progress {
    /// Counts an attempt. Returns `false` if the call was cancelled before the first attempt.
    pub(super) fn hand_over(&self) -> bool {
        let counted = |now: u32| (now & CANCELLED == 0).then_some(now + 1);
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, counted).is_ok()
    }

    /// Ends an attempt with its effect.
    pub(super) fn settle(&self, effect: Effect) {
        let mark = match effect {
            Effect::Applied => APPLIED,
            Effect::Unknown => UNKNOWN,
            Effect::NotApplied => 0,
        };
        let settled = |now: u32| Some((now - 1) | mark);
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, settled).unwrap_or_default();
    }

    /// Cancels the call unless a backend has received it. Returns whether it was cancelled.
    pub(super) fn cancel(&self) -> bool {
        let untouched = |now: u32| (now & !CANCELLED == 0).then_some(CANCELLED);
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, untouched).is_ok()
    }

    /// Forgets an applied effect, because a layer has reversed the write.
    pub(super) fn take_back(&self) {
        self.0.fetch_and(!APPLIED, Ordering::AcqRel);
    }

    pub(super) fn effect(&self) -> Effect {
        match self.0.load(Ordering::Acquire) {
            now if now & IN_FLIGHT != 0 => Effect::Unknown,
            now if now & APPLIED != 0 => Effect::Applied,
            now if now & UNKNOWN != 0 => Effect::Unknown,
            _ => Effect::NotApplied,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_attempt_does_not_hide_an_unknown_one() {
        let progress = Progress::default();
        assert_eq!(progress.effect(), Effect::NotApplied);
        assert!(progress.hand_over());
        assert_eq!(progress.effect(), Effect::Unknown);
        progress.settle(Effect::Unknown);
        assert!(progress.hand_over());
        progress.settle(Effect::NotApplied);
        assert_eq!(progress.effect(), Effect::Unknown);
        assert!(progress.hand_over());
        progress.settle(Effect::Applied);
        assert_eq!(progress.effect(), Effect::Applied);
    }

    #[test]
    fn a_late_refusal_does_not_hide_an_attempt_that_is_at_work() {
        let progress = Progress::default();
        assert!(progress.hand_over() && progress.hand_over());
        progress.settle(Effect::NotApplied);
        assert_eq!(progress.effect(), Effect::Unknown);
        progress.settle(Effect::NotApplied);
        assert_eq!(progress.effect(), Effect::NotApplied);
    }

    #[test]
    fn a_cancelled_call_starts_no_attempt_and_a_started_call_is_not_cancelled() {
        let cancelled = Progress::default();
        assert!(cancelled.cancel() && cancelled.cancel());
        assert!(!cancelled.hand_over());
        assert_eq!(cancelled.effect(), Effect::NotApplied);
        let begun = Progress::default();
        assert!(begun.hand_over());
        assert!(!begun.cancel());
    }
}
