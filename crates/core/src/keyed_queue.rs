//! A fair queue for each key, in arrival order. A permit can be in the queues of several keys at once.
//!
//! ```
//! use throughline_core::keyed_queue::KeyedQueue;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let queue = KeyedQueue::new();
//! let first = queue.acquire(["a"]).await;
//! let mut both = queue.enter(["a", "b"]);
//! assert!(!both.is_acquired(), "`a` is held");
//! drop(first);
//! both.acquired().await;
//! # }
//! ```

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    future::{Future as _, poll_fn},
    hash::Hash,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use tokio::sync::oneshot;

/// A fair queue for each key. A key uses no memory while there is no permit for it.
///
/// A clone shares the queue.
pub struct KeyedQueue<K>(Arc<Mutex<State<K>>>);

struct State<K> {
    queues: HashMap<K, Queue>,
    /// Permits that are not at the front of all of their queues.
    waiting: HashMap<u64, Waiting>,
    /// The number of the last permit.
    last: u64,
}

/// The numbers of permits, in arrival order.
struct Queue {
    front: u64,
    others: VecDeque<u64>,
}

struct Waiting {
    /// The number of queues in which the permit is not at the front.
    queues: usize,
    wake: oneshot::Sender<()>,
}

/// The capacity that the maps keep after a burst.
const KEPT_CAPACITY: usize = 64;

impl<K: Clone + Eq + Hash> KeyedQueue<K> {
    /// Returns an empty queue.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Joins the queue of each key in one step and returns without waiting. Two permits have the same order in every queue that
    /// both are in, so that they cannot deadlock. The keys must differ.
    pub fn enter(&self, keys: impl IntoIterator<Item = K>) -> KeyedPermit<K> {
        let keys: Vec<K> = keys.into_iter().collect();
        let mut state = self.state();
        state.last += 1;
        let number = state.last;
        let mut behind = 0;
        for key in &keys {
            if let Some(queue) = state.queues.get_mut(key) {
                queue.others.push_back(number);
                behind += 1;
            } else {
                state.queues.insert(key.clone(), Queue { front: number, others: VecDeque::new() });
            }
        }
        let woken = (behind > 0).then(|| {
            let (wake, woken) = oneshot::channel();
            state.waiting.insert(number, Waiting { queues: behind, wake });
            woken
        });
        drop(state);
        KeyedPermit { queue: self.clone(), keys, number, woken }
    }

    /// Joins the queue of each key and waits until the permit is at the front of all of them.
    ///
    /// # Cancel safety
    /// A dropped future leaves the queues.
    pub async fn acquire(&self, keys: impl IntoIterator<Item = K>) -> KeyedPermit<K> {
        let mut permit = self.enter(keys);
        permit.acquired().await;
        permit
    }

    /// The number of permits for this key, including the one at the front.
    #[must_use]
    pub fn len_of(&self, key: &K) -> usize {
        self.state().queues.get(key).map_or(0, |queue| 1 + queue.others.len())
    }

    fn state(&self) -> MutexGuard<'_, State<K>> {
        // No code panics while it holds this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K> Clone for KeyedQueue<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K> Default for KeyedQueue<K> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(State { queues: HashMap::new(), waiting: HashMap::new(), last: 0 })))
    }
}

impl<K> fmt::Debug for KeyedQueue<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("KeyedQueue").field("keys", &state.queues.len()).finish_non_exhaustive()
    }
}

impl<K: Eq + Hash> State<K> {
    /// Leaves the queues, and returns the wakers of the permits that are now at the front of all of their queues.
    fn leave(&mut self, number: u64, keys: &[K]) -> Vec<oneshot::Sender<()>> {
        self.waiting.remove(&number);
        let woken = keys.iter().filter_map(|key| self.leave_one(number, key)).collect();
        self.shrink();
        woken
    }

    fn leave_one(&mut self, number: u64, key: &K) -> Option<oneshot::Sender<()>> {
        let queue = self.queues.get_mut(key)?;
        if queue.front != number {
            queue.others.retain(|other| *other != number);
            return None;
        }
        let Some(next) = queue.others.pop_front() else {
            self.queues.remove(key);
            return None;
        };
        queue.front = next;
        let waiting = self.waiting.get_mut(&next)?;
        waiting.queues -= 1;
        if waiting.queues > 0 {
            return None;
        }
        self.waiting.remove(&next).map(|waiting| waiting.wake)
    }

    fn shrink(&mut self) {
        fn fit<K: Eq + Hash, V>(map: &mut HashMap<K, V>) {
            if map.capacity() > KEPT_CAPACITY && map.len() < map.capacity() / 8 {
                map.shrink_to(map.len() * 2);
            }
        }
        fit(&mut self.queues);
        fit(&mut self.waiting);
    }
}

/// A permit in the queue of each of its keys. It is acquired when it is at the front of all of them. A drop removes it from the
/// queues.
#[must_use = "the permit is released when this is dropped"]
pub struct KeyedPermit<K: Eq + Hash> {
    queue: KeyedQueue<K>,
    keys: Vec<K>,
    number: u64,
    /// `None` once it is acquired.
    woken: Option<oneshot::Receiver<()>>,
}

impl<K: Eq + Hash> KeyedPermit<K> {
    /// Waits until the permit is at the front of all of its queues.
    ///
    /// # Cancel safety
    /// A dropped future keeps the position of the permit in its queues.
    pub async fn acquired(&mut self) {
        poll_fn(|cx| self.poll_acquired(cx)).await;
    }

    /// Polls for the same condition as [`acquired`](Self::acquired), for hand-written futures.
    pub fn poll_acquired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(woken) = &mut self.woken {
            // The queue keeps the sender until it wakes this permit.
            ready!(Pin::new(woken).poll(cx)).ok();
            self.woken = None;
        }
        Poll::Ready(())
    }

    /// Whether the permit is at the front of all of its queues.
    #[must_use]
    pub fn is_acquired(&mut self) -> bool {
        self.poll_acquired(&mut Context::from_waker(std::task::Waker::noop())).is_ready()
    }
}

impl<K: Eq + Hash> Drop for KeyedPermit<K> {
    fn drop(&mut self) {
        let mut state = self.queue.0.lock().unwrap_or_else(PoisonError::into_inner);
        let woken = state.leave(self.number, &self.keys);
        drop(state);
        for wake in woken {
            // A permit that is dropped at the same time removes itself from the queues.
            wake.send(()).ok();
        }
    }
}

impl<K: Eq + Hash> fmt::Debug for KeyedPermit<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedPermit").field("number", &self.number).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter<'a>(queue: &KeyedQueue<&'a str>, keys: &[&'a str]) -> KeyedPermit<&'a str> {
        queue.enter(keys.iter().copied())
    }

    fn is_empty(queue: &KeyedQueue<&str>) -> bool {
        let state = queue.state();
        state.queues.is_empty() && state.waiting.is_empty()
    }

    #[test]
    fn permits_of_one_key_are_acquired_in_order_and_those_of_others_at_once() {
        let queue = KeyedQueue::new();
        let [mut a, mut b, mut c, mut d] = [&["t"], &["t"], &["u"], &["t"]].map(|t| enter(&queue, t));
        assert!(a.is_acquired() && !b.is_acquired() && c.is_acquired() && !d.is_acquired());
        drop(a);
        assert!(b.is_acquired() && !d.is_acquired());
        drop(b);
        assert!(d.is_acquired());
        drop((c, d));
        assert!(is_empty(&queue));
    }

    #[test]
    fn a_permit_of_several_keys_waits_for_all_and_is_not_overtaken() {
        let queue = KeyedQueue::new();
        let mut first = enter(&queue, &["a"]);
        let mut both = enter(&queue, &["a", "b"]);
        let mut back = enter(&queue, &["b", "a"]);
        let mut last = enter(&queue, &["b"]);
        assert!(first.is_acquired());
        assert!(!both.is_acquired() && !back.is_acquired() && !last.is_acquired());
        drop(first);
        assert!(both.is_acquired() && !back.is_acquired() && !last.is_acquired());
        drop(both);
        assert!(back.is_acquired() && !last.is_acquired());
        drop(back);
        assert!(last.is_acquired());
        drop(last);
        assert!(is_empty(&queue));
    }

    #[test]
    fn a_dropped_permit_leaves_its_queues_and_no_memory() {
        let queue = KeyedQueue::new();
        let first = enter(&queue, &["a"]);
        let left = enter(&queue, &["a", "b"]);
        let mut third = enter(&queue, &["a"]);
        let mut other = enter(&queue, &["b"]);
        assert!(!other.is_acquired());
        drop(left);
        assert!(other.is_acquired() && !third.is_acquired());
        drop(first);
        assert!(third.is_acquired());
        drop((third, other));
        assert!(is_empty(&queue));
        // A permit that was woken and is dropped before it is polled.
        let (first, second) = (enter(&queue, &["a"]), enter(&queue, &["a"]));
        let mut third = enter(&queue, &["a"]);
        drop(first);
        drop(second);
        assert!(third.is_acquired());
        drop(third);
        assert!(is_empty(&queue));
    }

    #[test]
    fn the_capacity_shrinks_after_a_rush() {
        let queue = KeyedQueue::new();
        let rush: Vec<_> = (0..5000).map(|number| queue.enter([number])).collect();
        assert!(queue.state().queues.capacity() >= 5000);
        drop(rush);
        assert!(queue.state().queues.capacity() <= 2 * KEPT_CAPACITY);
    }

    #[test]
    fn a_permit_is_acquired_exactly_when_no_earlier_one_shares_a_key() {
        let queue = KeyedQueue::new();
        let mut state = 7_u64;
        let mut random = |below: usize| {
            // A linear congruential generator: the same walk each time.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap() % below
        };
        let mut content_fields: Vec<(Vec<&str>, KeyedPermit<&str>)> = Vec::new();
        for _ in 0..3000 {
            if content_fields.len() < 12 && random(2) == 0 {
                let first = random(5);
                let threads = &["a", "b", "c", "d", "e", "a", "b"][first..first + 1 + random(3)];
                content_fields.push((threads.to_vec(), enter(&queue, threads)));
            } else if !content_fields.is_empty() {
                drop(content_fields.remove(random(content_fields.len())));
            }
            for at in 0..content_fields.len() {
                let (before, rest) = content_fields.split_at_mut(at);
                let (threads, permit) = &mut rest[0];
                let is_free = before.iter().all(|(other, _)| !other.iter().any(|one| threads.contains(one)));
                assert_eq!(permit.is_acquired(), is_free);
            }
        }
        drop(content_fields);
        assert!(is_empty(&queue));
    }
}
