use std::{fmt, sync::Arc};

use throughline_core::pipeline::Task;
use tokio::sync::watch;

use super::{ConsumerStatus, EffectsBuilder, delivery::Delivery, status::ConsumerState};
use throughline_core::{Persistence, Position};

/// Consumers at work.
///
/// Dropped, it stops them where they are: what was at work is told again when they are started the next time.
/// [`stop`](Self::stop) lets them finish it.
#[must_use = "dropped, it stops them"]
pub struct Effects {
    stop: watch::Sender<bool>,
    running: Vec<Running>,
}

/// One consumer at work.
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
    /// Begins to put consumers together. Their cursors are of the tenant of `db`.
    pub fn builder(db: Persistence) -> EffectsBuilder {
        EffectsBuilder::new(db)
    }

    pub(super) const fn new(stop: watch::Sender<bool>, running: Vec<Running>) -> Self {
        Self { stop, running }
    }

    /// How it stands with each consumer, in the order in which they were named.
    #[must_use]
    pub fn status(&self) -> Vec<ConsumerStatus> {
        self.running.iter().map(Running::status).collect()
    }

    /// Waits until every consumer has done everything up to this position of the store, which the
    /// [receipt](throughline_core::pipeline::Receipt) of a write names. Says whether they have: not, where one has stopped before.
    ///
    /// # Cancel safety
    /// Dropped, it has only waited.
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

    /// Stops the consumers: what runs is finished, what has failed and waits to be tried again is left, and each cursor is
    /// moved to where everything is done. Answers how it stands with each then.
    ///
    /// # Cancel safety
    /// Dropped before it answers, it stops them as dropping the handle does.
    pub async fn stop(mut self) -> Vec<ConsumerStatus> {
        self.stop.send_replace(true);
        for running in &mut self.running {
            // One that panicked has stopped as well.
            running.task.join().await;
        }
        self.status()
    }
}

impl Running {
    fn status(&self) -> ConsumerStatus {
        let mut status = self.delivery.status.look();
        if self.task.is_finished() && !status.is_stopped() {
            let why = Some("its task has ended".to_owned());
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
