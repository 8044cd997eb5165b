use std::{
    future::{Future, IntoFuture},
    pin::Pin,
    time::{Duration, Instant},
};

use super::{Coalesce, Draft, ReplyAttemptRequest, writer};
use crate::{
    IdempotencyKey, InvalidId, NewReservation, PersistError, Persistence, Result, ThreadId, handle::Request,
    operation::Reserve,
};

/// A reservation that runs when it is awaited, and that answers a [`Draft`].
#[derive(Debug)]
#[must_use = "nothing happens before it is awaited"]
pub struct DraftRequest {
    db: Persistence,
    reserve: Result<(ThreadId, NewReservation)>,
    key: Result<Option<IdempotencyKey>>,
    deadline: Option<Duration>,
    coalesce: Coalesce,
}

impl DraftRequest {
    pub(in crate::handle) fn new(db: Persistence, reserve: Result<(ThreadId, NewReservation)>) -> Self {
        Self { db, reserve, key: Ok(None), deadline: None, coalesce: Coalesce::default() }
    }

    /// Sets the idempotency key of the reservation. A second call with the same key gets the same message, and a
    /// draft that starts at the reserved state. If the message was written since, each write of this draft is refused
    /// as [`Stale`](crate::ErrorKind::Stale), because the first writer may still be alive. For a request that may be
    /// delivered again after a crash, use [`next_attempt`](Self::next_attempt).
    pub fn key<K>(mut self, key: K) -> Self
    where
        K: TryInto<IdempotencyKey>,
        K::Error: Into<InvalidId>,
    {
        match key.try_into() {
            Ok(key) => self.key = self.key.map(|_| Some(key)),
            Err(error) => self.key = self.key.and(Err(PersistError::from(error.into()))),
        }
        self
    }

    /// Sets the longest time that the caller waits for the reservation.
    pub const fn deadline(mut self, after: Duration) -> Self {
        self.deadline = Some(after);
        self
    }

    /// Sets how the draft coalesces appends into writes.
    pub const fn coalesce(mut self, coalesce: Coalesce) -> Self {
        self.coalesce = coalesce;
        self
    }

    /// Reserves the next attempt of the reply that the [key](Self::key) names. A reply whose writer died ends as
    /// abandoned, and the key alone would always answer that message. This method instead reserves a new message,
    /// once: of two concurrent deliveries, one begins, and the other one gets
    /// [`ReplyAttempt::Open`](crate::handle::ReplyAttempt::Open). It abandons an open attempt whose lease has
    /// expired, like the [recovery of expired drafts](crate::Persistence::recover_expired_drafts).
    ///
    /// Each attempt has its own key: the first one has the key of the reply, and the others append their number, such
    /// as `reply-1007 (attempt 2)`. The reservation must be the same each time. Each earlier attempt costs one or two
    /// calls.
    ///
    /// # Errors
    /// `Invalid` without a key, with a key longer than 234 bytes, or if the reservation names an id. `Gone` if the
    /// reply was deleted. `Conflict` if the key was used for another reservation. Otherwise the error of the
    /// reservation or the read. The deadline covers the whole operation.
    ///
    /// # Cancel safety
    /// If the future is dropped, it may have reserved a message. The next request then finds that attempt open until
    /// its lease expires.
    pub fn next_attempt(self) -> ReplyAttemptRequest {
        let until = match self.deadline {
            Some(after) => Instant::now().checked_add(after),
            None => self.db.deadline_from_now(),
        };
        let Self { db, reserve, key, deadline: _, coalesce } = self;
        ReplyAttemptRequest { db, reserve, key, until, coalesce }
    }
}

impl IntoFuture for DraftRequest {
    type Output = Result<Draft>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<Draft>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let (reserve, key) = match (self.reserve, self.key) {
                (Ok((thread, reservation)), Ok(key)) => (Ok(Reserve::new(thread, reservation)), key),
                (Err(error), _) | (_, Err(error)) => (Err(error), None),
            };
            let mut request = Request::new(self.db.clone(), reserve);
            if let Some(key) = key {
                request = request.key(key);
            }
            if let Some(deadline) = self.deadline {
                request = request.deadline(deadline);
            }
            let reserved = request.reply().await?;
            let limit = reserved.extensions.get().copied();
            Ok(writer::spawn(&self.db, reserved.output, limit, self.coalesce))
        })
    }
}
