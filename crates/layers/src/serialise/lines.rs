//! Who waits for whom.

use std::{
    collections::{HashMap, VecDeque},
    future::Future as _,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use tokio::sync::oneshot;

use throughline_core::{TenantId, ThreadId};

type Key = (TenantId, ThreadId);

/// A line for each thread that somebody writes to.
#[derive(Debug, Default)]
pub(super) struct Lines(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    lines: HashMap<Key, Line>,
    /// Those who are not yet first in all of their lines.
    waiting: HashMap<u64, Waiting>,
    last: u64,
}

/// Calls by number, in the order in which they came.
#[derive(Debug)]
struct Line {
    first: u64,
    others: VecDeque<u64>,
}

#[derive(Debug)]
struct Waiting {
    /// How many of its lines it is not the first of.
    lines: usize,
    turn: oneshot::Sender<()>,
}

/// The room for lines that is kept though there are few.
const ROOM: usize = 64;

impl Lines {
    /// Takes the last place in the line of each thread, in one step: of two calls one is before the other in every line that
    /// both are in, so that no two can wait for each other. No thread may be named twice.
    pub(super) fn enter(self: &Arc<Self>, tenant: &TenantId, threads: Vec<ThreadId>) -> Place {
        let keys: Vec<Key> = threads.into_iter().map(|thread| (tenant.clone(), thread)).collect();
        let mut state = self.state();
        state.last += 1;
        let number = state.last;
        let mut behind = 0;
        for key in &keys {
            if let Some(line) = state.lines.get_mut(key) {
                line.others.push_back(number);
                behind += 1;
            } else {
                state.lines.insert(key.clone(), Line { first: number, others: VecDeque::new() });
            }
        }
        let turn = (behind > 0).then(|| {
            let (turn, told) = oneshot::channel();
            state.waiting.insert(number, Waiting { lines: behind, turn });
            told
        });
        drop(state);
        Place { lines: Arc::clone(self), keys, number, turn }
    }

    /// Leaves the lines, and tells those whose turn it is now.
    fn leave(&self, number: u64, keys: &[Key]) {
        let mut state = self.state();
        let mut told = Vec::new();
        state.waiting.remove(&number);
        for key in keys {
            told.extend(state.leave(number, key));
        }
        state.shrink();
        drop(state);
        for turn in told {
            // Who does not listen any more leaves the lines itself.
            turn.send(()).ok();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Leaves one line: answers whom to tell, if that was what another one still waited for.
    fn leave(&mut self, number: u64, key: &Key) -> Option<oneshot::Sender<()>> {
        let line = self.lines.get_mut(key)?;
        if line.first != number {
            line.others.retain(|other| *other != number);
            return None;
        }
        let Some(next) = line.others.pop_front() else {
            self.lines.remove(key);
            return None;
        };
        line.first = next;
        let waiting = self.waiting.get_mut(&next)?;
        waiting.lines -= 1;
        if waiting.lines > 0 {
            return None;
        }
        self.waiting.remove(&next).map(|waiting| waiting.turn)
    }

    /// Gives room back after a rush.
    fn shrink(&mut self) {
        fn fit<K: Eq + std::hash::Hash, V>(map: &mut HashMap<K, V>) {
            if map.capacity() > ROOM && map.len() < map.capacity() / 8 {
                map.shrink_to(map.len() * 2);
            }
        }
        fit(&mut self.lines);
        fit(&mut self.waiting);
    }
}

/// A place in every line of one call. Dropped, it is the next one's.
#[derive(Debug)]
pub(super) struct Place {
    lines: Arc<Lines>,
    keys: Vec<Key>,
    number: u64,
    /// Until it is told that it is the first everywhere.
    turn: Option<oneshot::Receiver<()>>,
}

impl Place {
    /// Ready once nobody is before it.
    pub(super) fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(turn) = &mut self.turn {
            // Its sender is kept until it is told.
            ready!(Pin::new(turn).poll(cx)).ok();
            self.turn = None;
        }
        Poll::Ready(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.lines.leave(self.number, &self.keys);
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn enter(lines: &Arc<Lines>, threads: &[&str]) -> Place {
        let threads = threads.iter().map(|thread| thread.parse().unwrap()).collect();
        lines.enter(&TenantId::default(), threads)
    }

    fn is_first(place: &mut Place) -> bool {
        place.poll_turn(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    fn is_empty(lines: &Lines) -> bool {
        let state = lines.state();
        state.lines.is_empty() && state.waiting.is_empty()
    }

    #[test]
    fn one_after_the_other_in_one_thread_and_at_once_in_different_ones() {
        let lines = Arc::new(Lines::default());
        let [mut a, mut b, mut c, mut d] = [&["t"], &["t"], &["u"], &["t"]].map(|t| enter(&lines, t));
        assert!(is_first(&mut a) && !is_first(&mut b) && is_first(&mut c) && !is_first(&mut d));
        drop(a);
        assert!(is_first(&mut b) && !is_first(&mut d));
        drop(b);
        assert!(is_first(&mut d));
        drop((c, d));
        assert!(is_empty(&lines));
    }

    #[test]
    fn the_same_thread_of_another_tenant_is_another_one() {
        let lines = Arc::new(Lines::default());
        let _first = enter(&lines, &["t"]);
        let mut other = lines.enter(&"other".parse().unwrap(), vec!["t".parse().unwrap()]);
        assert!(is_first(&mut other));
    }

    #[test]
    fn who_needs_several_waits_for_all_and_nobody_overtakes() {
        let lines = Arc::new(Lines::default());
        let mut first = enter(&lines, &["a"]);
        let mut both = enter(&lines, &["a", "b"]);
        let mut back = enter(&lines, &["b", "a"]);
        let mut last = enter(&lines, &["b"]);
        assert!(is_first(&mut first));
        assert!(!is_first(&mut both) && !is_first(&mut back) && !is_first(&mut last));
        drop(first);
        assert!(is_first(&mut both) && !is_first(&mut back) && !is_first(&mut last));
        drop(both);
        assert!(is_first(&mut back) && !is_first(&mut last));
        drop(back);
        assert!(is_first(&mut last));
        drop(last);
        assert!(is_empty(&lines));
    }

    #[test]
    fn who_leaves_a_line_frees_the_place_and_leaves_nothing_behind() {
        let lines = Arc::new(Lines::default());
        let first = enter(&lines, &["a"]);
        let left = enter(&lines, &["a", "b"]);
        let mut third = enter(&lines, &["a"]);
        let mut beside = enter(&lines, &["b"]);
        assert!(!is_first(&mut beside));
        drop(left);
        assert!(is_first(&mut beside) && !is_first(&mut third));
        drop(first);
        assert!(is_first(&mut third));
        drop((third, beside));
        assert!(is_empty(&lines));
        // One who was told, and leaves before it looks.
        let (first, second) = (enter(&lines, &["a"]), enter(&lines, &["a"]));
        let mut third = enter(&lines, &["a"]);
        drop(first);
        drop(second);
        assert!(is_first(&mut third));
        drop(third);
        assert!(is_empty(&lines));
    }

    #[test]
    fn a_rush_leaves_no_room_behind() {
        let lines = Arc::new(Lines::default());
        let rush: Vec<_> = (0..5000).map(|number| enter(&lines, &[&number.to_string()])).collect();
        assert!(lines.state().lines.capacity() >= 5000);
        drop(rush);
        assert!(lines.state().lines.capacity() <= 2 * ROOM);
    }

    #[test]
    fn somebody_goes_on_exactly_when_nobody_before_shares_a_thread() {
        let lines = Arc::new(Lines::default());
        let mut state = 7_u64;
        let mut random = |below: usize| {
            // A linear congruential generator: the same walk each time.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap() % below
        };
        let mut places: Vec<(Vec<&str>, Place)> = Vec::new();
        for _ in 0..3000 {
            if places.len() < 12 && random(2) == 0 {
                let first = random(5);
                let threads = &["a", "b", "c", "d", "e", "a", "b"][first..first + 1 + random(3)];
                places.push((threads.to_vec(), enter(&lines, threads)));
            } else if !places.is_empty() {
                drop(places.remove(random(places.len())));
            }
            for at in 0..places.len() {
                let (before, rest) = places.split_at_mut(at);
                let (threads, place) = &mut rest[0];
                let is_free = before.iter().all(|(other, _)| !other.iter().any(|one| threads.contains(one)));
                assert_eq!(is_first(place), is_free);
            }
        }
        drop(places);
        assert!(is_empty(&lines));
    }
}
