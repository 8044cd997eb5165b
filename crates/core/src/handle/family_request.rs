//! A request for one operation of a family: reads, threads, sessions, consumers or replicas.

use std::{
    fmt,
    future::{Future, IntoFuture},
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use super::{Persistence, Request};
use crate::{
    IdempotencyKey, InvalidId, Operation, ReadArgs, Result,
    context::FeedScopes,
    operation::{ConsumerArgs, OperationOf, ReplicaArgs, SessionArgs, ThreadArgs},
};

/// A read that runs when it is awaited.
pub type ReadRequest<R> = FamilyRequest<ReadArgs, R>;

/// An operation on a whole thread that runs when it is awaited.
pub type ThreadRequest<T> = FamilyRequest<ThreadArgs, T>;

/// A consumer operation that runs when it is awaited.
pub type ConsumerRequest<C> = FamilyRequest<ConsumerArgs, C>;

/// A replication operation that runs when it is awaited.
pub type ReplicaRequest<R> = FamilyRequest<ReplicaArgs, R>;

/// An operation on agent sessions that runs when it is awaited.
pub type SessionRequest<S> = FamilyRequest<SessionArgs, S>;

/// An operation of the family `F` that runs when it is awaited. Its output is the output of the operation `M`.
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

    /// Sets the idempotency key of the call: see [`Request::key`].
    pub fn key<K>(self, key: K) -> Self
    where
        K: TryInto<IdempotencyKey>,
        K::Error: Into<InvalidId>,
    {
        Self { request: self.request.key(key), operation: PhantomData }
    }

    /// Records which changes the store reads for the call.
    pub(super) fn recording(self, scopes: &Arc<FeedScopes>) -> Self {
        Self { request: self.request.recording(scopes), operation: PhantomData }
    }

    /// Sets the longest time that the caller waits: see [`Request::deadline`].
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
