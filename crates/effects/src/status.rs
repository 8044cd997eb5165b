use tokio::sync::watch;

use throughline_core::{Position, ids::ConsumerName};

/// How it stands with a consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerStatus {
    /// Which.
    pub consumer: ConsumerName,
    /// Where its cursor is in the store: where another process would go on.
    pub cursor: Position,
    /// How far everything is done. The cursor follows it, some events at a time.
    pub done: Position,
    /// How far the store has come, as far as the runner knows.
    pub reached: Position,
    /// Changes that were read and are not done: at work, waiting for one that is, or for a message that is still being written.
    pub waiting: usize,
    /// How many changes stand on the list of those that were passed over.
    pub quarantined: u64,
    /// How many attempts have failed since the runner was started.
    pub failures: u64,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// What it is at.
    pub state: ConsumerState,
}

/// What a consumer is at.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConsumerState {
    /// It follows the changes.
    Running,
    /// It makes everything again, because it was behind further than changes are kept.
    Rebuilding,
    /// It does nothing any more.
    Stopped {
        /// Why, where nobody asked for it.
        why: Option<String>,
    },
}

impl ConsumerStatus {
    /// How far it is behind, in changes of the store: of other tenants and threads among them.
    #[must_use]
    pub const fn lag(&self) -> u64 {
        self.reached.get().saturating_sub(self.done.get())
    }

    /// Whether it does nothing any more.
    #[must_use]
    pub const fn is_stopped(&self) -> bool {
        matches!(self.state, ConsumerState::Stopped { .. })
    }
}

/// Where the status of a consumer is put up.
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

    /// Whoever waits for something is told of every change, and of nothing else.
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
