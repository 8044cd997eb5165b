//! The queues of events: in order within a thread. The cursor never passes an unfinished event.

use std::collections::{BTreeSet, HashMap, VecDeque};

use throughline_core::{
    Position, TenantId, ThreadId,
    changes::{Change, ChangeKind},
};

/// A thread of a tenant.
pub(super) type Key = (TenantId, ThreadId);

/// The events that were read and are not done.
#[derive(Debug, Default)]
pub(super) struct ThreadQueues {
    queues: HashMap<Key, ThreadQueue>,
    /// The queues whose first event can start.
    ready: VecDeque<Key>,
    undone: BTreeSet<Position>,
}

#[derive(Debug, Default)]
struct ThreadQueue {
    events: VecDeque<Change>,
    state: State,
}

/// The state of the first event of a queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    /// The event is in `ready`.
    #[default]
    Ready,
    /// The event is being delivered. A later event can have settled its message.
    AtWork { settled: bool },
    /// The event waits until its message is settled.
    Open,
}

impl ThreadQueues {
    /// Adds an event to the queue of its thread.
    pub(super) fn push(&mut self, change: Change) {
        let settles = may_settle(&change.kind);
        if matches!(change.kind, ChangeKind::Unreadable { .. }) {
            // The unreadable change can have settled any message.
            self.look_again();
        }
        let key = (change.tenant.clone(), change.thread.clone());
        self.undone.insert(change.position);
        let Some(queue) = self.queues.get_mut(&key) else {
            self.ready.push_back(key.clone());
            self.queues.insert(key, ThreadQueue { events: VecDeque::from([change]), state: State::Ready });
            return;
        };
        queue.push(change, &mut self.undone);
        match &mut queue.state {
            State::AtWork { settled } => *settled |= settles,
            State::Open if settles => {
                queue.state = State::Ready;
                self.ready.push_back(key);
            }
            State::Open | State::Ready => {}
        }
    }

    /// Starts the next event that can start.
    pub(super) fn begin(&mut self) -> Option<(Key, Change)> {
        let key = self.ready.pop_front()?;
        let queue = self.queues.get_mut(&key)?;
        queue.state = State::AtWork { settled: false };
        let change = queue.events.front()?.clone();
        Some((key, change))
    }

    /// Removes the first event of a queue, which is done.
    pub(super) fn done(&mut self, key: &Key) {
        let Some(queue) = self.queues.get_mut(key) else { return };
        if let Some(change) = queue.events.pop_front() {
            self.undone.remove(&change.position);
        }
        if queue.events.is_empty() {
            self.queues.remove(key);
        } else {
            queue.state = State::Ready;
            self.ready.push_back(key.clone());
        }
    }

    /// Marks the first event of a queue as waiting for an open message.
    pub(super) fn open(&mut self, key: &Key) {
        let Some(queue) = self.queues.get_mut(key) else { return };
        if queue.state == (State::AtWork { settled: true }) {
            queue.state = State::Ready;
            self.ready.push_back(key.clone());
        } else {
            queue.state = State::Open;
        }
    }

    /// Makes every waiting queue check its message again.
    pub(super) fn look_again(&mut self) {
        for (key, queue) in &mut self.queues {
            match &mut queue.state {
                State::Open => {
                    queue.state = State::Ready;
                    self.ready.push_back(key.clone());
                }
                State::AtWork { settled } => *settled = true,
                State::Ready => {}
            }
        }
    }

    /// The position up to which all events are done, if every change up to `read` was read.
    pub(super) fn done_through(&self, read: Position) -> Position {
        match self.undone.first() {
            Some(first) => Position::new(first.get().saturating_sub(1)),
            None => read,
        }
    }

    /// The number of events that wait or are being delivered.
    pub(super) fn len(&self) -> usize {
        self.undone.len()
    }
}

impl ThreadQueue {
    /// Keeps only the last of consecutive appends to one message, as the store may do too. The event shows the current message in
    /// any case.
    fn push(&mut self, change: Change, undone: &mut BTreeSet<Position>) {
        let is_free = self.events.len() > 1 || !matches!(self.state, State::AtWork { .. });
        if is_free
            && let Some(last) = self.events.back_mut()
            && let (ChangeKind::Written(before), ChangeKind::Written(after)) = (&last.kind, &change.kind)
            && before.id == after.id
        {
            undone.remove(&last.position);
            *last = change;
            return;
        }
        self.events.push_back(change);
    }
}

/// Whether this change can settle a message.
const fn may_settle(kind: &ChangeKind) -> bool {
    !matches!(
        kind,
        ChangeKind::Added(_) | ChangeKind::Reserved(_) | ChangeKind::Written(_) | ChangeKind::Edited(_)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use throughline_core::{Revision, Seq, Timestamp, changes::ChangedMessage};

    fn change(position: u64, thread: &str, kind: fn(ChangedMessage) -> ChangeKind, id: &str) -> Change {
        let message = ChangedMessage { id: id.parse().unwrap(), seq: Seq::FIRST, revision: Revision::FIRST };
        Change {
            position: Position::new(position),
            tenant: TenantId::default(),
            thread: thread.parse().unwrap(),
            at: Timestamp::from_micros(0),
            kind: kind(message),
        }
    }

    fn begun(queues: &mut ThreadQueues) -> Vec<(Key, u64)> {
        std::iter::from_fn(|| queues.begin()).map(|(key, change)| (key, change.position.get())).collect()
    }

    fn done(queues: &ThreadQueues) -> u64 {
        queues.done_through(Position::new(100)).get()
    }

    #[test]
    fn a_thread_is_in_order_and_others_go_on() {
        let mut queues = ThreadQueues::default();
        for (at, thread) in [(1, "a"), (2, "b"), (3, "a"), (4, "b")] {
            queues.push(change(at, thread, ChangeKind::Added, "m"));
        }
        let first = begun(&mut queues);
        assert_eq!(first.iter().map(|(_, at)| *at).collect::<Vec<_>>(), [1, 2]);
        queues.done(&first[1].0);
        assert_eq!(begun(&mut queues)[0].1, 4);
        assert_eq!(done(&queues), 0, "the first one is not done");
        queues.done(&first[1].0);
        queues.done(&first[0].0);
        assert_eq!(done(&queues), 2);
        assert_eq!(begun(&mut queues)[0].1, 3);
        queues.done(&first[0].0);
        assert_eq!((done(&queues), queues.len()), (100, 0));
    }

    #[test]
    fn a_thread_waits_until_its_open_message_is_settled() {
        let mut queues = ThreadQueues::default();
        queues.push(change(1, "a", ChangeKind::Reserved, "m"));
        let (key, _) = queues.begin().unwrap();
        queues.open(&key);
        queues.push(change(2, "a", ChangeKind::Added, "n"));
        assert!(begun(&mut queues).is_empty());
        queues.push(change(3, "a", ChangeKind::Finished, "m"));
        assert_eq!(begun(&mut queues)[0].1, 1);
    }

    #[test]
    fn an_end_that_comes_while_it_is_looked_is_not_missed() {
        let mut queues = ThreadQueues::default();
        queues.push(change(1, "a", ChangeKind::Reserved, "m"));
        let (key, _) = queues.begin().unwrap();
        queues.push(change(2, "a", ChangeKind::Finished, "m"));
        queues.open(&key);
        assert_eq!(begun(&mut queues)[0].1, 1);
    }

    #[test]
    fn waiting_writes_of_one_message_are_merged() {
        let mut queues = ThreadQueues::default();
        queues.push(change(1, "a", ChangeKind::Written, "m"));
        let (key, _) = queues.begin().unwrap();
        for at in 2..5 {
            queues.push(change(at, "a", ChangeKind::Written, "m"));
        }
        assert_eq!(queues.len(), 2, "the one at work, and the last");
        queues.open(&key);
        queues.push(change(5, "a", ChangeKind::Written, "n"));
        assert_eq!(queues.len(), 3);
        assert_eq!(done(&queues), 0);
    }
}
