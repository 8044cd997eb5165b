use std::{fmt, sync::Arc};

use throughline_core::pipeline::Task;
use tokio::sync::watch;

use super::{ConsumerStatus, EffectsBuilder, delivery::Delivery, status::ConsumerState};
use throughline_core::{Persistence, Position};

/// Running consumers.
///
/// A drop stops them immediately: unfinished events are delivered again after the next start. [`stop`](Self::stop) lets running
/// calls finish.
#[must_use = "a drop stops the consumers"]
pub struct Effects {
    stop: watch::Sender<bool>,
    running: Vec<Running>,
}

/// One running consumer.
pub(super) struct Running {
    delivery: Arc<Delivery>,
    task: Task,
}

impl Running {
    pub(super) const fn new(delivery: Arc<Delivery>, task: Task) -> Self {
        Self { delivery, task }
    }
}

impl Effects {
    /// Returns a builder. The cursors belong to the tenant of `db`.
    pub fn builder(db: Persistence) -> EffectsBuilder {
        EffectsBuilder::new(db)
    }

    pub(super) const fn new(stop: watch::Sender<bool>, running: Vec<Running>) -> Self {
        Self { stop, running }
    }

    /// The status of each consumer, in the order in which they were added.
    #[must_use]
    pub fn status(&self) -> Vec<ConsumerStatus> {
        self.running.iter().map(Running::status).collect()
    }

    /// Waits until every consumer has processed all changes up to this position of the store, which the
    /// [receipt](throughline_core::pipeline::Receipt) of a write contains. Returns `false` if a consumer has stopped before.
    ///
    /// # Cancel safety
    /// A dropped future has no effect on the consumers.
    pub async fn reached(&self, position: Position) -> bool {
        let mut all = true;
        for running in &self.running {
            let mut status = running.delivery.status.subscribe();
            let is_there = |status: &ConsumerStatus| status.done >= position || status.is_stopped();
            all &= match status.wait_for(is_there).await {
                Ok(status) => status.done >= position,
                Err(_) => false,
            };
        }
        all
    }

    /// Stops the consumers: finishes running calls, does not retry failed events, and moves each cursor to the last finished
    /// event. Returns the final status of each consumer.
    ///
    /// # Cancel safety
    /// If the future is dropped before it completes, the consumers stop as with a drop of the handle.
    pub async fn stop(mut self) -> Vec<ConsumerStatus> {
        self.stop.send_replace(true);
        for running in &mut self.running {
            // A worker that panicked has also stopped.
            running.task.join().await;
        }
        self.status()
    }
}

impl Running {
    fn status(&self) -> ConsumerStatus {
        let mut status = self.delivery.status.look();
        if self.task.is_finished() && !status.is_stopped() {
            let why = Some("the task of the consumer has ended".to_owned());
            status.state = ConsumerState::Stopped { why };
        }
        status
    }
}

impl Drop for Effects {
    fn drop(&mut self) {
        for running in &self.running {
            running.task.abort();
        }
    }
}

impl fmt::Debug for Effects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Effects").field("consumers", &self.status()).finish_non_exhaustive()
    }
}
