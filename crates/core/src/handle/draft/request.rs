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

/// A reservation that is made when it is awaited, and answers its writer.
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

    /// Gives the reservation an idempotency key: a second caller with the same key gets the same message, and a draft of it that
    /// begins where it was reserved. Once anything was written to the message, all that this draft writes is refused as
    /// [`Stale`](crate::ErrorKind::Stale): the first writer may still be alive. For a request that may be delivered again after a
    /// crash, use [`next_attempt`](Self::next_attempt).
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

    /// How long the caller waits for the reservation.
    pub const fn deadline(mut self, after: Duration) -> Self {
        self.deadline = Some(after);
        self
    }

    /// How appends are gathered into writes.
    pub const fn coalesce(mut self, coalesce: Coalesce) -> Self {
        self.coalesce = coalesce;
        self
    }

    /// Reserves the next attempt of the reply that the [key](Self::key) names. A reply whose writer died ends abandoned, and the key
    /// alone answers with that message for ever. This begins another message, once: of two deliveries at the same time
    /// one begins, and the other is answered [`ReplyAttempt::Open`](crate::handle::ReplyAttempt::Open). An attempt that is open, and whose lease has expired, is
    /// abandoned as a [sweep](crate::Persistence::recover_expired_drafts) would do.
    ///
    /// The attempts have keys of their own, the first one that of the reply and the others the number behind it, such as
    /// `reply-1007 (attempt 2)`. The reservation has to be the same each time. It costs a call or two for each earlier attempt.
    ///
    /// # Errors
    /// `Invalid` without a key, with one longer than 234 bytes, and where the reservation names an id; `Gone` where the reply was
    /// deleted; `Conflict` where the key was used for another reservation; what the reservation or the read answers. The
    /// deadline holds for all of it.
    ///
    /// # Cancel safety
    /// Dropped, it may have reserved a message. Asked again, it is that message's attempt, open until its lease expires.
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
