//! Waiting for an answer that comes soon.
//!
//! A thread that sleeps is woken by a signal to an idle processor, which takes tens of microseconds; a write on a fast
//! disk takes two hundred. A caller who is alone with the writer pays that twice: no other task keeps its thread awake,
//! and no other write keeps the writer's. So such a caller stays awake for as long as its write usually takes, and lets
//! the other tasks of its runtime run meanwhile.
//!
//! It does so only while that is measured to win. On a machine that is busy, who stays awake is taken for a calculation
//! and has to wait its turn, while who sleeps is woken at once; and on a slow disk there is little to win.

use std::{
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tokio::{
    sync::oneshot::{Receiver, error::TryRecvError},
    task::yield_now,
};

/// Writes that take longer are slept through: what staying awake wins is small beside them.
const SPIN_LIMIT: Duration = Duration::from_micros(500);

/// So many writes in a row are waited for alike, and compared with others by their mean. The mean, because who stays
/// awake on a busy machine pays seldom, and then with a whole turn of somebody else.
const SAMPLE: u32 = 128;

/// After so many stretches the next one is waited for in the other way and held against the one before it: two in a row,
/// because what else a machine and its disk do changes from second to second. Each time that this was in vain it is
/// twice as many, up to sixteen times.
const PROBE_AFTER: u32 = 4;

/// Whether somebody who stays awake leaves a processor to whom he waits for.
pub(crate) fn is_multicore() -> bool {
    static IS_MULTICORE: LazyLock<bool> =
        LazyLock::new(|| thread::available_parallelism().is_ok_and(|processors| processors.get() > 1));
    *IS_MULTICORE
}

/// How lone callers wait.
#[derive(Debug)]
pub(crate) struct AdaptiveSpin(Mutex<SpinStats>);

/// What was found out about the two ways to wait.
#[derive(Debug)]
struct SpinStats {
    spins: bool,
    /// The stretch under way is in the other way than those before it.
    is_probing: bool,
    /// How many stretches there are yet before it is looked again, and how often that was in vain.
    left: u32,
    failed_probes: u32,
    /// What a write took in the stretch before.
    before: Duration,
    /// The stretch that is under way.
    writes: u32,
    time: Duration,
}

impl AdaptiveSpin {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(SpinStats::new()))
    }

    fn stats(&self) -> MutexGuard<'_, SpinStats> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for an answer, awake while it is due and `is_alone` holds. Nothing when none will come.
    pub(crate) async fn wait<T>(&self, mut answer: Receiver<T>, is_alone: impl Fn() -> bool) -> Option<T> {
        if !is_multicore() || !is_alone() {
            return answer.await.ok();
        }
        let spins = self.stats().spins;
        let begun = Instant::now();
        let took = |answer| {
            self.stats().took(spins, begun.elapsed());
            Some(answer)
        };
        while spins && begun.elapsed() < SPIN_LIMIT && is_alone() {
            match answer.try_recv() {
                Ok(answer) => return took(answer),
                Err(TryRecvError::Empty) => yield_now().await,
                Err(TryRecvError::Closed) => return None,
            }
        }
        took(answer.await.ok()?)
    }
}

impl SpinStats {
    /// The first stretch is slept through; the next one is not, where writes are quick.
    const fn new() -> Self {
        Self {
            spins: false,
            is_probing: false,
            left: 1,
            failed_probes: 0,
            before: Duration::ZERO,
            writes: 0,
            time: Duration::ZERO,
        }
    }

    fn took(&mut self, spun: bool, time: Duration) {
        if spun != self.spins {
            // It began in the stretch before.
            return;
        }
        self.writes += 1;
        self.time += time;
        // What is worse by now will not become better: a look costs no more than what it is held against.
        let limit = if self.is_probing { self.before } else { SPIN_LIMIT };
        if self.writes == SAMPLE || self.time >= limit * SAMPLE {
            let mean = self.time / SAMPLE;
            self.sample_took(mean);
            (self.writes, self.time, self.before) = (0, Duration::ZERO, mean);
        }
    }

    fn sample_took(&mut self, mean: Duration) {
        let is_quick = mean < SPIN_LIMIT;
        if self.is_probing {
            // Sleeping has to be clearly better: it is noise most of the time where it is not.
            let than = if self.spins { self.before } else { self.before * 7 / 8 };
            self.is_probing = false;
            if mean < than {
                self.failed_probes = 0;
            } else {
                self.failed_probes = (self.failed_probes + 1).min(4);
                self.spins = !self.spins;
            }
            self.left = PROBE_AFTER << self.failed_probes;
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

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    /// One whose callers stay awake.
    fn spin_time() -> AdaptiveSpin {
        AdaptiveSpin(Mutex::new(SpinStats { spins: true, ..SpinStats::new() }))
    }

    /// How often a caller was woken before there was an answer, and with it.
    fn woken(spin: &AdaptiveSpin, alone: bool) -> (usize, usize) {
        let (sender, receiver) = oneshot::channel();
        let woken = Arc::<Woken>::default();
        let waker = Waker::from(Arc::clone(&woken));
        let mut cx = Context::from_waker(&waker);
        let mut waiting = pin!(spin.wait(receiver, || alone));
        assert!(waiting.as_mut().poll(&mut cx).is_pending());
        let before = woken.0.load(Relaxed);
        sender.send(7).unwrap();
        let with = woken.0.load(Relaxed);
        assert_eq!(waiting.as_mut().poll(&mut cx), Poll::Ready(Some(7)));
        (before, with)
    }

    #[test]
    fn only_a_lone_caller_stays_awake() {
        assert_eq!(woken(&spin_time(), false), (0, 1));
        assert_eq!(woken(&AdaptiveSpin::new(), true), (0, 1));
    }

    #[test]
    fn an_answer_that_never_comes_is_no_reason_to_wait() {
        for spin in [AdaptiveSpin::new(), spin_time()] {
            let (sender, receiver) = oneshot::channel::<()>();
            drop(sender);
            let waiting = pin!(spin.wait(receiver, || true));
            assert_eq!(waiting.poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(None));
        }
    }

    /// Of a thousand stretches of writes, how many percent are waited for awake, where that takes so long and sleeping
    /// takes so long.
    fn percent_spun(stats: &mut SpinStats, spin_time: Duration, sleep_time: Duration) -> u32 {
        let mut spun = 0;
        for _ in 0..1000 * SAMPLE {
            let spins = stats.spins;
            // What belongs to another stretch changes nothing.
            stats.took(!spins, Duration::ZERO);
            stats.took(spins, if spins { spin_time } else { sleep_time });
            spun += u32::from(spins);
        }
        spun / (10 * SAMPLE)
    }

    #[test]
    fn they_wait_as_was_measured_to_be_better() {
        let mut stats = SpinStats::new();
        for _ in 0..2 {
            assert!(percent_spun(&mut stats, SPIN_LIMIT / 4, SPIN_LIMIT / 2) > 90, "{stats:?}");
            assert!(
                percent_spun(&mut stats, SPIN_LIMIT / 2, SPIN_LIMIT * 15 / 32) > 90,
                "a little worse: {stats:?}"
            );
            assert!(percent_spun(&mut stats, SPIN_LIMIT / 2, SPIN_LIMIT / 4) < 10, "{stats:?}");
            // However much worse it is, a look takes no more than what it is held against.
            assert!(percent_spun(&mut stats, SPIN_LIMIT * 100, SPIN_LIMIT / 4) < 1, "{stats:?}");
        }
    }

    #[test]
    fn slow_writes_are_slept_through() {
        let mut stats = SpinStats::new();
        assert_eq!(percent_spun(&mut stats, SPIN_LIMIT / 4, SPIN_LIMIT), 0);
        assert!(percent_spun(&mut stats, SPIN_LIMIT / 4, SPIN_LIMIT / 2) > 90);
        assert_eq!(percent_spun(&mut stats, SPIN_LIMIT, SPIN_LIMIT), 0);
    }
}
