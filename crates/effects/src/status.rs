use tokio::sync::watch;

use throughline_core::{Position, ids::ConsumerName};

/// The status of a consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerStatus {
    /// The name of the consumer.
    pub consumer: ConsumerName,
    /// The cursor in the store, from which another process would continue.
    pub cursor: Position,
    /// The position up to which all events are done. The runner moves the cursor to it after some events.
    pub done: Position,
    /// The last position of the store, as far as the runner knows.
    pub reached: Position,
    /// Changes that were read and are not done: they are being delivered, or they wait for another event or for an open message.
    pub waiting: usize,
    /// The number of quarantined changes.
    pub quarantined: u64,
    /// The number of failed attempts since the start of the runner.
    pub failures: u64,
    /// The last error.
    pub last_error: Option<String>,
    /// The state of the consumer.
    pub state: ConsumerState,
}

/// The state of a consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConsumerState {
    /// The runner delivers changes.
    Running,
    /// The consumer rebuilds its data, because the store no longer keeps some changes.
    Rebuilding,
    /// The consumer has stopped.
    Stopped {
        /// The reason. `None` after a call of [`stop`](crate::Effects::stop).
        why: Option<String>,
    },
}

impl ConsumerStatus {
    /// The number of changes by which it is behind, including changes of other tenants and threads.
    #[must_use]
    pub const fn lag(&self) -> u64 {
        self.reached.get().saturating_sub(self.done.get())
    }

    /// Whether the consumer has stopped.
    #[must_use]
    pub const fn is_stopped(&self) -> bool {
        matches!(self.state, ConsumerState::Stopped { .. })
    }
}

/// The sender of the status of a consumer.
#[derive(Debug)]
pub(super) struct StatusPublisher(watch::Sender<ConsumerStatus>);

impl StatusPublisher {
    pub(super) fn new(consumer: ConsumerName, cursor: Position, quarantined: u64) -> Self {
        Self(watch::Sender::new(ConsumerStatus {
            consumer,
            cursor,
            done: cursor,
            reached: cursor,
            waiting: 0,
            quarantined,
            failures: 0,
            last_error: None,
            state: ConsumerState::Running,
        }))
    }

    pub(super) fn look(&self) -> ConsumerStatus {
        self.0.borrow().clone()
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<ConsumerStatus> {
        self.0.subscribe()
    }

    /// Changes the status, and wakes the tasks that wait for it.
    pub(super) fn put(&self, change: impl FnOnce(&mut ConsumerStatus)) {
        self.0.send_modify(change);
    }

    pub(super) fn failed(&self, why: &str) {
        self.put(|status| {
            status.failures += 1;
            status.last_error = Some(why.to_owned());
        });
    }
}
