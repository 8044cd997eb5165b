use std::{collections::HashSet, fmt, sync::Arc, time::Duration};

use tokio::sync::{Semaphore, watch};

use super::{
    Consumer, Effects,
    consumer::AnyConsumer,
    delivery::Delivery,
    running::Running,
    settings::Settings,
    status::{ConsumerState, StatusPublisher},
    worker::Worker,
};
use throughline_core::{
    Effect, ErrorKind, InvalidId, OpKind, PersistError, Persistence, Result,
    changes::{ChangeScope, GetCursor, ReadChanges},
    contain::catch_future,
    ids::ConsumerName,
};

/// The configuration of a runner and its consumers.
#[must_use = "no consumer runs before `start`"]
pub struct EffectsBuilder {
    db: Persistence,
    settings: Settings,
    consumers: Vec<(Result<ConsumerName, InvalidId>, Arc<dyn AnyConsumer>)>,
}

impl EffectsBuilder {
    pub(super) fn new(db: Persistence) -> Self {
        Self { db, settings: Settings::default(), consumers: Vec::new() }
    }

    /// Adds a consumer.
    pub fn consumer<C: Consumer>(mut self, consumer: C) -> Self {
        let name = ConsumerName::new(consumer.name());
        self.consumers.push((name, Arc::new(consumer)));
        self
    }

    /// Sets how many calls of one consumer run at the same time, each for another thread. 16 by default, at least 1.
    pub const fn parallel(mut self, calls: usize) -> Self {
        self.settings.parallel = if calls == 0 { 1 } else { calls };
        self
    }

    /// Sets the number of failed attempts after which a change is quarantined. 8 by default, at least 1.
    pub const fn attempts(mut self, attempts: u32) -> Self {
        self.settings.attempts = if attempts == 0 { 1 } else { attempts };
        self
    }

    /// Sets the time limit of one call of a consumer. 30 s by default.
    pub const fn time_limit(mut self, limit: Duration) -> Self {
        self.settings.time_limit = limit;
        self
    }

    /// Sets the shortest and the longest wait between two attempts, before jitter. 100 ms and 30 s by default.
    pub const fn backoff(mut self, shortest: Duration, longest: Duration) -> Self {
        (self.settings.shortest_wait, self.settings.longest_wait) = (shortest, longest);
        self
    }

    /// Checks the configuration, and starts to deliver changes to each consumer from its cursor.
    ///
    /// # Errors
    /// - `Invalid` if a consumer name is invalid or used twice.
    /// - `Unsupported` if the store has no change feed or no cursors, or a layer refuses them.
    /// - The errors of the first reads.
    ///
    /// # Cancel safety
    /// If the future is dropped before it completes, nothing has started.
    pub async fn start(self) -> Result<Effects> {
        let Self { db, settings, consumers } = self;
        let claims = db.describe().capabilities();
        if !claims.changes {
            return Err(refusal(ErrorKind::Unsupported, "the store has no change feed"));
        }
        if !claims.supports(OpKind::Consumer) {
            return Err(refusal(ErrorKind::Unsupported, "the store has no consumer cursors"));
        }
        let mut names = HashSet::new();
        let (stop, stopping) = watch::channel(false);
        let mut ready = Vec::with_capacity(consumers.len());
        for (name, consumer) in consumers {
            let name = name.map_err(|error| refusal(ErrorKind::Invalid, error.to_string()))?;
            if !names.insert(name.clone()) {
                let detail = format!("two consumers are called `{name}`");
                return Err(refusal(ErrorKind::Invalid, detail));
            }
            let scope = consumer.scope();
            let about = |error: PersistError| error.context(format!("the consumer `{name}`"));
            can_be_followed(&db, &scope).await.map_err(about)?;
            let cursor = db.read(GetCursor { consumer: name.clone() }).await.map_err(about)?;
            let delivery = Arc::new(Delivery {
                status: StatusPublisher::new(name.clone(), cursor.position, cursor.quarantined),
                db: db.clone(),
                name,
                consumer,
                scope,
                settings,
                permits: Semaphore::new(settings.parallel.min(Semaphore::MAX_PERMITS)),
                stopping: stopping.clone(),
            });
            ready.push((delivery, cursor.position));
        }
        // Start only after all checks.
        let running = ready.into_iter().map(|(delivery, cursor)| {
            let worker = Worker::new(Arc::clone(&delivery), cursor);
            let theirs = Arc::clone(&delivery);
            let task = db.spawn(async move {
                // If the runner itself panics, callers that wait for it must not wait forever.
                if let Err(why) = catch_future(worker.run()).await {
                    theirs
                        .status
                        .put(|status| status.state = ConsumerState::Stopped { why: Some(why.to_string()) });
                }
            });
            Running::new(delivery, task)
        });
        Ok(Effects::new(stop, running.collect()))
    }
}

/// A redirect or a guard in the pipeline can refuse operations that the store supports.
async fn can_be_followed(db: &Persistence, scope: &ChangeScope) -> Result<()> {
    let read = ReadChanges::new(scope.clone(), throughline_core::Position::new(u64::MAX), 1);
    match db.read(read).await {
        Err(error) if error.kind() != ErrorKind::TooOld => Err(error),
        _ => Ok(()),
    }
}

fn refusal(kind: ErrorKind, detail: impl Into<std::borrow::Cow<'static, str>>) -> PersistError {
    PersistError::new(kind, detail).with_effect(Effect::NotApplied)
}

impl fmt::Debug for EffectsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.consumers.iter().filter_map(|(name, _)| name.as_ref().ok()).collect();
        f.debug_struct("EffectsBuilder")
            .field("settings", &self.settings)
            .field("consumers", &names)
            .finish_non_exhaustive()
    }
}
