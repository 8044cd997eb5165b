//! An adaptive spin: a lone caller polls for its answer for a short time instead of sleeping.
//!
//! Waking a sleeping thread on an idle processor takes tens of microseconds; a write on a fast disk takes two hundred, and a
//! page of messages from memory about as long. A caller that is alone with the writer, or with a reader, pays for two wakeups: no
//! other task keeps its thread busy, and no other call keeps the other thread busy. So such a caller spins for as long as its
//! call usually takes, and lets the other tasks of its runtime run in between. Writes and reads are measured separately.
//!
//! The caller spins only while measurements show a gain. On a busy machine the scheduler treats a spinning thread as
//! compute-bound and makes it wait, while it wakes a sleeping thread at once. On a virtual machine, the disk can become slower
//! while both processors are busy. On a slow disk there is little to gain.

use std::{
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tokio::{
    sync::oneshot::{Receiver, error::TryRecvError},
    task::yield_now,
};

/// Callers sleep through calls that take longer: the gain of spinning, about 70 us, is small for them.
const SPIN_LIMIT: Duration = Duration::from_millis(1);

/// The number of consecutive calls in a sample. All calls of a sample wait in the same way, and samples are compared
/// by their mean. The mean, because spinning on a busy machine seldom costs anything, but then a whole time slice.
const SAMPLE: u32 = 128;

/// The number of samples after which the next one waits in the other way and is compared with the one before it. Two
/// adjacent samples are compared because other work on the machine and its disk changes from second to second. Each
/// probe that confirms the current way doubles the number, up to 64.
const PROBE_AFTER: u32 = 4;

/// The smoothing factor of the average of all probes. One probe alone is mostly noise.
const SMOOTHING: f64 = 0.25;

/// The largest ratio that a probe counts, and the inverse of the smallest one, so that one call that hung does not decide for long.
const MAX_RATIO: f64 = 2.0;

/// Callers spin while that takes at most this part of the time of sleeping: a smaller gain is not worth a processor.
const SPIN_BELOW: f64 = 0.97;

/// Returns whether a spinning caller leaves another processor to the thread that works for it.
pub(crate) fn is_multicore() -> bool {
    static IS_MULTICORE: LazyLock<bool> =
        LazyLock::new(|| thread::available_parallelism().is_ok_and(|processors| processors.get() > 1));
    *IS_MULTICORE
}

/// Decides how lone callers wait.
#[derive(Debug)]
pub(crate) struct AdaptiveSpin(Mutex<SpinStats>);

/// The measurements of both ways to wait.
#[derive(Debug)]
struct SpinStats {
    spins: bool,
    /// Whether the current sample waits in the other way than those before it.
    is_probing: bool,
    /// The number of samples until the next probe, and the number of consecutive probes that confirmed the current way.
    left: u32,
    confirmations: u32,
    /// The duration of a call that spins over that of a call that sleeps, averaged over the probes.
    spin_over_sleep: Option<f64>,
    /// The mean duration of a call in the previous sample.
    before: Duration,
    /// The current sample.
    calls: u32,
    time: Duration,
}

impl AdaptiveSpin {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(SpinStats::new()))
    }

    fn stats(&self) -> MutexGuard<'_, SpinStats> {
        // No code panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for an answer. Spins while the answer is due and `is_alone` holds. Returns `None` if no answer will come.
    pub(crate) async fn wait<T>(&self, answer: &mut Receiver<T>, is_alone: impl Fn() -> bool) -> Option<T> {
        if !is_multicore() || !is_alone() {
            return answer.await.ok();
        }
        let spins = self.stats().spins;
        let begun = Instant::now();
        let done = |answer| {
            self.stats().record(spins, begun.elapsed());
            Some(answer)
        };
        while spins && begun.elapsed() < SPIN_LIMIT && is_alone() {
            match answer.try_recv() {
                Ok(answer) => return done(answer),
                Err(TryRecvError::Empty) => yield_now().await,
                Err(TryRecvError::Closed) => return None,
            }
        }
        done(answer.await.ok()?)
    }
}

impl SpinStats {
    /// The first sample sleeps; the next one spins if calls are quick.
    const fn new() -> Self {
        Self {
            spins: false,
            is_probing: false,
            left: 1,
            confirmations: 0,
            spin_over_sleep: None,
            before: Duration::ZERO,
            calls: 0,
            time: Duration::ZERO,
        }
    }

    fn record(&mut self, spun: bool, time: Duration) {
        if spun != self.spins {
            // This call began in the previous sample.
            return;
        }
        self.calls += 1;
        self.time += time;
        // A sample that is already slower cannot become faster: end it early, so that a probe costs no more than the
        // sample that it is compared with.
        let limit = if self.is_probing { self.before } else { SPIN_LIMIT };
        if self.calls == SAMPLE || self.time >= limit * SAMPLE {
            let mean = self.time / self.calls;
            self.sample_took(mean);
            (self.calls, self.time, self.before) = (0, Duration::ZERO, mean);
        }
    }

    /// Compares a sample with the one before it, which waited in the other way.
    fn probed(&mut self, mean: Duration) {
        // The clock may have shown no time for a whole sample.
        let [mean, before] = [mean, self.before].map(|mean| mean.as_secs_f64().max(1e-9));
        let over_before = mean / before;
        let ratio = if self.spins { over_before } else { over_before.recip() };
        let ratio = ratio.clamp(MAX_RATIO.recip(), MAX_RATIO);
        let average = self.spin_over_sleep.map_or(ratio, |average| average + SMOOTHING * (ratio - average));
        self.spin_over_sleep = Some(average);
        let spun_before = !self.spins;
        self.spins = average <= SPIN_BELOW;
        // A probe that contradicts the current way is soon repeated.
        let is_confirmed = self.spins == spun_before && (ratio <= SPIN_BELOW) == self.spins;
        self.confirmations = if is_confirmed { (self.confirmations + 1).min(4) } else { 0 };
        self.left = PROBE_AFTER << self.confirmations;
    }

    fn sample_took(&mut self, mean: Duration) {
        let is_quick = mean < SPIN_LIMIT;
        if self.is_probing {
            self.is_probing = false;
            self.probed(mean);
        } else if self.spins && !is_quick {
            self.spins = false;
            self.left = PROBE_AFTER;
        } else {
            self.left = self.left.saturating_sub(1);
            if self.left == 0 && is_quick {
                self.is_probing = true;
                self.spins = !self.spins;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering::Relaxed},
        },
        task::{Context, Poll, Wake, Waker},
    };

    use tokio::sync::oneshot;

    use super::*;

    /// Counts its wakeups.
    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    /// Returns a spin whose callers spin.
    fn spin_time() -> AdaptiveSpin {
        AdaptiveSpin(Mutex::new(SpinStats { spins: true, ..SpinStats::new() }))
    }

    /// Returns how often a caller was woken before there was an answer, and with it.
    fn woken(spin: &AdaptiveSpin, alone: bool) -> (usize, usize) {
        let (sender, mut receiver) = oneshot::channel();
        let woken = Arc::<Woken>::default();
        let waker = Waker::from(Arc::clone(&woken));
        let mut cx = Context::from_waker(&waker);
        let mut waiting = pin!(spin.wait(&mut receiver, || alone));
        assert!(waiting.as_mut().poll(&mut cx).is_pending());
        let before = woken.0.load(Relaxed);
        sender.send(7).unwrap();
        let with = woken.0.load(Relaxed);
        assert_eq!(waiting.as_mut().poll(&mut cx), Poll::Ready(Some(7)));
        (before, with)
    }

    #[test]
    fn only_a_lone_caller_spins() {
        assert_eq!(woken(&spin_time(), false), (0, 1));
        assert_eq!(woken(&AdaptiveSpin::new(), true), (0, 1));
        if is_multicore() {
            // The yield of the spin wakes it, and the answer does not.
            assert_eq!(woken(&spin_time(), true), (1, 1));
        }
    }

    #[test]
    fn a_lone_call_is_recorded_also_if_its_caller_is_no_longer_alone() {
        if !is_multicore() {
            return;
        }
        let spin = spin_time();
        woken(&spin, true);
        assert_eq!(spin.stats().calls, 1);
        woken(&spin, false);
        assert_eq!(spin.stats().calls, 1, "that caller was not alone");
        for spin in [spin_time(), AdaptiveSpin::new()] {
            let (sender, mut receiver) = oneshot::channel();
            let (asked, woken) = (AtomicUsize::new(0), Arc::<Woken>::default());
            let waker = Waker::from(Arc::clone(&woken));
            let mut cx = Context::from_waker(&waker);
            let mut waiting = pin!(spin.wait(&mut receiver, || asked.fetch_add(1, Relaxed) == 0));
            assert!(waiting.as_mut().poll(&mut cx).is_pending());
            assert_eq!(woken.0.load(Relaxed), 0, "it sleeps");
            sender.send(7).unwrap();
            assert_eq!(waiting.as_mut().poll(&mut cx), Poll::Ready(Some(7)));
            assert_eq!(spin.stats().calls, 1);
        }
    }

    #[test]
    fn wait_ends_when_the_answer_channel_is_closed() {
        for spin in [AdaptiveSpin::new(), spin_time()] {
            let (sender, mut receiver) = oneshot::channel::<()>();
            drop(sender);
            let waiting = pin!(spin.wait(&mut receiver, || true));
            assert_eq!(waiting.poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(None));
        }
    }

    /// Returns the percentage of writes that spin, of a thousand samples, for the given durations of a write with and
    /// without spinning.
    fn percent_spun(stats: &mut SpinStats, spin_time: Duration, sleep_time: Duration) -> u32 {
        let mut spun = 0;
        for _ in 0..1000 * SAMPLE {
            let spins = stats.spins;
            // A write of another sample changes nothing.
            stats.record(!spins, Duration::ZERO);
            stats.record(spins, if spins { spin_time } else { sleep_time });
            spun += u32::from(spins);
        }
        spun / (10 * SAMPLE)
    }

    #[test]
    fn callers_wait_in_the_way_that_was_measured_to_be_faster() {
        let mut stats = SpinStats::new();
        let (short, long) = (SPIN_LIMIT / 4, SPIN_LIMIT / 2);
        for _ in 0..2 {
            assert!(percent_spun(&mut stats, short, long) > 90, "{stats:?}");
            assert!(percent_spun(&mut stats, long * 15 / 16, long) > 90, "{stats:?}");
            assert!(percent_spun(&mut stats, long, short) < 10, "{stats:?}");
            assert!(percent_spun(&mut stats, long, long * 15 / 16) < 10, "{stats:?}");
            // A gain this small is not worth a processor.
            assert!(percent_spun(&mut stats, long * 63 / 64, long) < 10, "{stats:?}");
            // However slow the other way is, a probe takes no longer than the sample that it is compared with.
            assert!(percent_spun(&mut stats, SPIN_LIMIT * 100, short) < 1, "{stats:?}");
        }
    }

    #[test]
    fn the_way_changes_after_several_probes_that_contradict_it() {
        let mut stats = SpinStats::new();
        assert!(percent_spun(&mut stats, SPIN_LIMIT / 4, SPIN_LIMIT / 2) > 90);
        let probe = |stats: &mut SpinStats, sleep_time: Duration| {
            stats.left = 1;
            for time in [SPIN_LIMIT / 4, sleep_time] {
                (0..SAMPLE).for_each(|_| stats.record(stats.spins, time));
            }
            stats.spins
        };
        // Sleeping was half as fast until now. From here on it is faster by a quarter.
        let spins = [(); 3].map(|()| probe(&mut stats, SPIN_LIMIT * 3 / 16));
        assert_eq!(spins, [true, true, false]);
    }

    #[test]
    fn a_clock_that_shows_no_time_does_not_end_the_comparison() {
        let mut stats = SpinStats::new();
        for _ in 0..2 * SAMPLE {
            stats.record(stats.spins, Duration::ZERO);
        }
        assert_eq!((stats.spin_over_sleep, stats.spins), (Some(1.0), false));
        assert!(percent_spun(&mut stats, SPIN_LIMIT / 4, SPIN_LIMIT / 2) > 90);
    }

    #[test]
    fn callers_sleep_during_slow_writes() {
        let mut stats = SpinStats::new();
        assert_eq!(percent_spun(&mut stats, SPIN_LIMIT / 4, SPIN_LIMIT), 0);
        assert!(percent_spun(&mut stats, SPIN_LIMIT / 4, SPIN_LIMIT / 2) > 90);
        assert_eq!(percent_spun(&mut stats, SPIN_LIMIT, SPIN_LIMIT), 0);
    }
}
