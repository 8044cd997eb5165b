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
const SOON: Duration = Duration::from_micros(500);

/// So many writes in a row are waited for alike, and compared with others by their mean. The mean, because who stays
/// awake on a busy machine pays seldom, and then with a whole turn of somebody else.
const STRETCH: u32 = 128;

/// After so many stretches the next one is waited for in the other way and held against the one before it: two in a row,
/// because what else a machine and its disk do changes from second to second. Each time that this was in vain it is
/// twice as many, up to sixteen times.
const LOOK_AGAIN: u32 = 4;

/// Whether somebody who stays awake leaves a processor to whom he waits for.
pub(crate) fn leaves_room() -> bool {
    static ROOM: LazyLock<bool> =
        LazyLock::new(|| thread::available_parallelism().is_ok_and(|processors| processors.get() > 1));
    *ROOM
}

/// How lone callers wait.
#[derive(Debug)]
pub(crate) struct Lookout(Mutex<Found>);

/// What was found out about the two ways to wait.
#[derive(Debug)]
struct Found {
    stays_awake: bool,
    /// The stretch under way is in the other way than those before it.
    looks_again: bool,
    /// How many stretches there are yet before it is looked again, and how often that was in vain.
    left: u32,
    in_vain: u32,
    /// What a write took in the stretch before.
    before: Duration,
    /// The stretch that is under way.
    writes: u32,
    time: Duration,
}

impl Lookout {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Found::nothing()))
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for an answer, awake while it is due and `is_alone` holds. Nothing when none will come.
    pub(crate) async fn wait<T>(&self, mut answer: Receiver<T>, is_alone: impl Fn() -> bool) -> Option<T> {
        if !leaves_room() || !is_alone() {
            return answer.await.ok();
        }
        let stays_awake = self.found().stays_awake;
        let begun = Instant::now();
        let took = |answer| {
            self.found().took(stays_awake, begun.elapsed());
            Some(answer)
        };
        while stays_awake && begun.elapsed() < SOON && is_alone() {
            match answer.try_recv() {
                Ok(answer) => return took(answer),
                Err(TryRecvError::Empty) => yield_now().await,
                Err(TryRecvError::Closed) => return None,
            }
        }
        took(answer.await.ok()?)
    }
}

impl Found {
    /// The first stretch is slept through; the next one is not, where writes are quick.
    const fn nothing() -> Self {
        Self {
            stays_awake: false,
            looks_again: false,
            left: 1,
            in_vain: 0,
            before: Duration::ZERO,
            writes: 0,
            time: Duration::ZERO,
        }
    }

    fn took(&mut self, stayed_awake: bool, time: Duration) {
        if stayed_awake != self.stays_awake {
            // It began in the stretch before.
            return;
        }
        self.writes += 1;
        self.time += time;
        // What is worse by now will not become better: a look costs no more than what it is held against.
        let limit = if self.looks_again { self.before } else { SOON };
        if self.writes == STRETCH || self.time >= limit * STRETCH {
            let mean = self.time / STRETCH;
            self.stretch_took(mean);
            (self.writes, self.time, self.before) = (0, Duration::ZERO, mean);
        }
    }

    fn stretch_took(&mut self, mean: Duration) {
        let is_quick = mean < SOON;
        if self.looks_again {
            // Sleeping has to be clearly better: it is noise most of the time where it is not.
            let than = if self.stays_awake { self.before } else { self.before * 7 / 8 };
            self.looks_again = false;
            if mean < than {
                self.in_vain = 0;
            } else {
                self.in_vain = (self.in_vain + 1).min(4);
                self.stays_awake = !self.stays_awake;
            }
            self.left = LOOK_AGAIN << self.in_vain;
        } else if self.stays_awake && !is_quick {
            self.stays_awake = false;
            self.left = LOOK_AGAIN;
        } else {
            self.left = self.left.saturating_sub(1);
            if self.left == 0 && is_quick {
                self.looks_again = true;
                self.stays_awake = !self.stays_awake;
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
    fn awake() -> Lookout {
        Lookout(Mutex::new(Found { stays_awake: true, ..Found::nothing() }))
    }

    /// How often a caller was woken before there was an answer, and with it.
    fn woken(lookout: &Lookout, alone: bool) -> (usize, usize) {
        let (sender, receiver) = oneshot::channel();
        let woken = Arc::<Woken>::default();
        let waker = Waker::from(Arc::clone(&woken));
        let mut cx = Context::from_waker(&waker);
        let mut waiting = pin!(lookout.wait(receiver, || alone));
        assert!(waiting.as_mut().poll(&mut cx).is_pending());
        let before = woken.0.load(Relaxed);
        sender.send(7).unwrap();
        let with = woken.0.load(Relaxed);
        assert_eq!(waiting.as_mut().poll(&mut cx), Poll::Ready(Some(7)));
        (before, with)
    }

    #[test]
    fn only_a_lone_caller_stays_awake() {
        assert_eq!(woken(&awake(), false), (0, 1));
        assert_eq!(woken(&Lookout::new(), true), (0, 1));
    }

    #[test]
    fn an_answer_that_never_comes_is_no_reason_to_wait() {
        for lookout in [Lookout::new(), awake()] {
            let (sender, receiver) = oneshot::channel::<()>();
            drop(sender);
            let waiting = pin!(lookout.wait(receiver, || true));
            assert_eq!(waiting.poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(None));
        }
    }

    /// Of a thousand stretches of writes, how many percent are waited for awake, where that takes so long and sleeping
    /// takes so long.
    fn awake_of(found: &mut Found, awake: Duration, asleep: Duration) -> u32 {
        let mut stayed_awake = 0;
        for _ in 0..1000 * STRETCH {
            let stays_awake = found.stays_awake;
            // What belongs to another stretch changes nothing.
            found.took(!stays_awake, Duration::ZERO);
            found.took(stays_awake, if stays_awake { awake } else { asleep });
            stayed_awake += u32::from(stays_awake);
        }
        stayed_awake / (10 * STRETCH)
    }

    #[test]
    fn they_wait_as_was_measured_to_be_better() {
        let mut found = Found::nothing();
        for _ in 0..2 {
            assert!(awake_of(&mut found, SOON / 4, SOON / 2) > 90, "{found:?}");
            assert!(awake_of(&mut found, SOON / 2, SOON * 15 / 32) > 90, "a little worse: {found:?}");
            assert!(awake_of(&mut found, SOON / 2, SOON / 4) < 10, "{found:?}");
            // However much worse it is, a look takes no more than what it is held against.
            assert!(awake_of(&mut found, SOON * 100, SOON / 4) < 1, "{found:?}");
        }
    }

    #[test]
    fn slow_writes_are_slept_through() {
        let mut found = Found::nothing();
        assert_eq!(awake_of(&mut found, SOON / 4, SOON), 0);
        assert!(awake_of(&mut found, SOON / 4, SOON / 2) > 90);
        assert_eq!(awake_of(&mut found, SOON, SOON), 0);
    }
}
