//! The delivery of one event: reads its message, calls the consumer, retries, and quarantines the change after the last attempt.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Semaphore, watch},
    time::{sleep, timeout},
};

use super::{
    consumer::{AnyConsumer, Event, takes_away},
    settings::Settings,
    status::StatusPublisher,
};
use throughline_core::{
    ErrorKind, Message, PersistError, Persistence, Result,
    changes::{Change, ChangeKind, ChangeScope, QuarantineChange},
    contain::{catch, catch_future},
    ids::ConsumerName,
    messages::GetMessage,
};

/// The state that the deliveries of a consumer share.
pub(super) struct Delivery {
    pub(super) db: Persistence,
    pub(super) name: ConsumerName,
    pub(super) consumer: Arc<dyn AnyConsumer>,
    pub(super) scope: ChangeScope,
    pub(super) settings: Settings,
    /// The permits of concurrent attempts. An event that waits for its next attempt has none.
    pub(super) permits: Semaphore,
    pub(super) status: StatusPublisher,
    pub(super) stopping: watch::Receiver<bool>,
}

/// The outcome of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The consumer has processed the event, or the event is quarantined.
    Done,
    /// The message of the event is still open.
    Open,
    /// The runner stops before the event is done.
    Left,
}

/// Why an attempt failed.
enum AttemptError {
    /// The store failed. The event is not the cause, and the attempt does not count.
    Store(PersistError),
    /// The event or the consumer failed.
    Event(String),
    /// The event can never succeed.
    Hopeless(String),
}

/// The time limit of one call of the store.
pub(super) const STORE_LIMIT: Duration = Duration::from_secs(30);

impl Delivery {
    pub(super) async fn deliver(&self, change: Change) -> Outcome {
        let (mut waits, mut made) = (self.settings.waits(), 0);
        loop {
            let failure = match self.attempt(&change).await {
                Ok(outcome) => return outcome,
                Err(failure) => failure,
            };
            let why = match failure {
                AttemptError::Store(error) => error.to_string(),
                AttemptError::Event(why) => {
                    made += 1;
                    if made >= self.settings.attempts {
                        self.status.failed(&why);
                        return self.skip(&change, &format!("{why} ({made} attempts)")).await;
                    }
                    why
                }
                AttemptError::Hopeless(why) => {
                    self.status.failed(&why);
                    return self.skip(&change, &why).await;
                }
            };
            self.status.failed(&why);
            if !self.waited(waits.next()).await {
                return Outcome::Left;
            }
        }
    }

    async fn attempt(&self, change: &Change) -> Result<Outcome, AttemptError> {
        if *self.stopping.borrow() {
            return Ok(Outcome::Left);
        }
        // The semaphore is never closed.
        let _permit = self.permits.acquire().await;
        if let ChangeKind::Unreadable { why } = &change.kind {
            return Err(AttemptError::Hopeless(format!("the change cannot be read: {why}")));
        }
        if !takes_away(&change.kind) && !self.is_on() {
            return Ok(Outcome::Done);
        }
        let message = self.message(change).await?;
        if message.as_ref().is_some_and(|message| message.state.is_open()) {
            return Ok(Outcome::Open);
        }
        let event = Event { change: change.clone(), message };
        let limit = self.settings.time_limit;
        match timeout(limit, catch_future(self.consumer.handle(event))).await {
            Ok(Ok(Ok(()))) => Ok(Outcome::Done),
            Ok(Ok(Err(error))) => Err(AttemptError::Event(error.to_string())),
            Ok(Err(panicked)) => Err(AttemptError::Event(panicked.to_string())),
            Err(_) => Err(AttemptError::Event(format!("it took longer than {limit:?}"))),
        }
    }

    fn is_on(&self) -> bool {
        // Code of the host: if it panics, the consumer counts as enabled.
        catch(|| self.consumer.is_on()).unwrap_or(true)
    }

    async fn message(&self, change: &Change) -> Result<Option<Message>, AttemptError> {
        let Some(about) = change.kind.message() else { return Ok(None) };
        let get = GetMessage { thread: change.thread.clone(), id: about.id.clone() };
        let db = self.db.for_tenant(change.tenant.clone());
        db.read(get).deadline(STORE_LIMIT).await.map_err(|error| match error.kind() {
            kind if kind.passes_with_time() => AttemptError::Store(error),
            ErrorKind::Cancelled => AttemptError::Store(error),
            _ => AttemptError::Event(error.to_string()),
        })
    }

    /// Quarantines the change. Retries until the store has recorded it.
    async fn skip(&self, change: &Change, why: &str) -> Outcome {
        let mut waits = self.settings.waits();
        let (name, thread) = (self.name.clone(), change.thread.clone());
        let quarantine = QuarantineChange::new(name, change.position, thread, cut(why));
        loop {
            match self.db.with_deadline(STORE_LIMIT).on_consumer(quarantine.clone()).await {
                Ok(_) => {
                    self.status.put(|status| status.quarantined += 1);
                    return Outcome::Done;
                }
                Err(error) => self.status.failed(&error.to_string()),
            }
            if !self.waited(waits.next()).await {
                return Outcome::Left;
            }
        }
    }

    /// Waits for this time. Returns whether to continue afterwards.
    pub(super) async fn waited(&self, wait: Duration) -> bool {
        let mut stopping = self.stopping.clone();
        tokio::select! {
            () = sleep(wait) => true,
            // Also if the sender is gone.
            _ = stopping.wait_for(|stopping| *stopping) => false,
        }
    }
}

/// The part of a reason that fits into the quarantine.
fn cut(why: &str) -> &str {
    let end = why.floor_char_boundary(QuarantineChange::MAX_WHY);
    &why[..end]
}
