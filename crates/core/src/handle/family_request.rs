//! A call of one member of a family: a read, something done to a thread or to agent sessions, what a consumer keeps.

use std::{
    fmt,
    future::{Future, IntoFuture},
    marker::PhantomData,
    pin::Pin,
    time::Duration,
};

use super::{Persistence, Request};
use crate::{
    IdempotencyKey, InvalidId, Operation, ReadArgs, Result,
    operation::{ConsumerArgs, OperationOf, ReplicaArgs, SessionArgs, ThreadArgs},
};

/// A read that is made when it is awaited.
pub type ReadRequest<R> = FamilyRequest<ReadArgs, R>;

/// Something that is done to a thread as a whole when it is awaited.
pub type ThreadRequest<T> = FamilyRequest<ThreadArgs, T>;

/// What a consumer of the changes keeps, written when it is awaited.
pub type ConsumerRequest<C> = FamilyRequest<ConsumerArgs, C>;

/// What is done about exact copies of the store when it is awaited.
pub type ReplicaRequest<R> = FamilyRequest<ReplicaArgs, R>;

/// Something that is done to agent sessions when it is awaited.
pub type SessionRequest<S> = FamilyRequest<SessionArgs, S>;

/// An operation of the family `F` that is made when it is awaited. It answers what the operation `M` itself answers.
///
/// # Cancel safety
/// As for a [`Request`].
#[must_use = "nothing happens before it is awaited"]
pub struct FamilyRequest<F, M> {
    request: Request<F>,
    operation: PhantomData<fn() -> M>,
}

impl<F: Operation, M: OperationOf<F>> FamilyRequest<F, M> {
    pub(super) fn new(db: Persistence, operation: Result<M>) -> Self {
        Self { request: Request::new(db, operation.map(Into::into)), operation: PhantomData }
    }

    /// Gives the call an idempotency key: see [`Request::key`].
    pub fn key<K>(self, key: K) -> Self
    where
        K: TryInto<IdempotencyKey>,
        K::Error: Into<InvalidId>,
    {
        Self { request: self.request.key(key), operation: PhantomData }
    }

    /// How long the caller waits: see [`Request::deadline`].
    pub fn deadline(self, after: Duration) -> Self {
        Self { request: self.request.deadline(after), operation: PhantomData }
    }
}

impl<F: Operation, M: OperationOf<F>> IntoFuture for FamilyRequest<F, M> {
    type Output = Result<M::Output>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { M::output(self.request.await?) })
    }
}

impl<F: fmt::Debug, M> fmt::Debug for FamilyRequest<F, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FamilyRequest").field(&self.request).finish()
    }
}
