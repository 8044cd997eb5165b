use std::{
    future::{Future, IntoFuture},
    pin::Pin,
    time::Duration,
};

use super::{Coalesce, Draft, writer};
use crate::{IdempotencyKey, InvalidId, NewReservation, Persistence, Request, Reserve, Result, ThreadId};

/// A reservation that is made when it is awaited, and answers its writer.
#[derive(Debug)]
#[must_use = "nothing happens before it is awaited"]
pub struct DraftRequest {
    db: Persistence,
    reserve: Request<Reserve>,
    coalesce: Coalesce,
}

impl DraftRequest {
    pub(in crate::handle) fn new(db: Persistence, reserve: Result<(ThreadId, NewReservation)>) -> Self {
        let reserve = reserve.map(|(thread, reservation)| Reserve::new(thread, reservation));
        Self { reserve: Request::new(db.clone(), reserve), db, coalesce: Coalesce::default() }
    }

    /// Gives the reservation an idempotency key: whoever reserves with the same key gets the same message, and a draft of it that
    /// begins where it was reserved. Once anything was written to the message, all that this draft writes is refused as
    /// [`Stale`](crate::ErrorKind::Stale): nobody goes on with a reply that somebody else may still be writing.
    pub fn key<K>(mut self, key: K) -> Self
    where
        K: TryInto<IdempotencyKey>,
        K::Error: Into<InvalidId>,
    {
        self.reserve = self.reserve.key(key);
        self
    }

    /// How long the caller waits for the reservation.
    pub fn deadline(mut self, after: Duration) -> Self {
        self.reserve = self.reserve.deadline(after);
        self
    }

    /// How appends are gathered into writes.
    pub const fn coalesce(mut self, coalesce: Coalesce) -> Self {
        self.coalesce = coalesce;
        self
    }
}

impl IntoFuture for DraftRequest {
    type Output = Result<Draft>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<Draft>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let reserved = self.reserve.await?;
            Ok(writer::spawn(&self.db, reserved, self.coalesce))
        })
    }
}
