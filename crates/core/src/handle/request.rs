//! A request: the arguments of one call, which runs when the request is awaited.

use std::{
    future::{Future, IntoFuture},
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll, ready},
    time::{Duration, Instant},
};

use super::Persistence;
use crate::{
    Effect, ErrorKind, IdempotencyKey, InvalidId, OpKind, Operation, PersistError, Reply, Result,
    context::FeedScopes, pipeline::Execution,
};

/// The options of one call.
#[derive(Debug, Clone, Default)]
pub(super) struct Options {
    pub(super) key: Option<IdempotencyKey>,
    pub(super) deadline: Option<Duration>,
    /// The instant of the deadline, for one of several calls that share it.
    pub(super) until: Option<Instant>,
    /// Where the store records which changes it reads.
    pub(super) feed_scopes: Option<Arc<FeedScopes>>,
}

impl Options {
    /// Sets the idempotency key of a call of this kind.
    pub(super) fn set_key<K>(&mut self, kind: OpKind, has_thread: bool, key: K) -> Result<()>
    where
        K: TryInto<IdempotencyKey>,
        K::Error: Into<InvalidId>,
    {
        let refused = |detail| Err(PersistError::new(ErrorKind::Invalid, detail));
        self.key = match key.try_into() {
            Ok(_) if !kind.is_write() => return refused("a read takes no idempotency key"),
            Ok(_) if !kind.takes_key() => return refused("a consumer operation takes no idempotency key"),
            Ok(_) if kind == OpKind::Session && !has_thread => {
                return refused("an operation on a whole agent or runtime takes no idempotency key");
            }
            Ok(key) => Some(key),
            Err(error) => return Err(PersistError::from(error.into())),
        };
        Ok(())
    }
}

/// An operation that runs when it is awaited.
///
/// # Cancel safety
/// Dropping the future before the backend receives the call cancels the call. After that, a write continues. Read the
/// message to find out the outcome, or repeat the call with the same idempotency key.
#[derive(Debug)]
#[must_use = "nothing happens before it is awaited"]
pub struct Request<O> {
    db: Persistence,
    operation: Result<O, PersistError>,
    options: Options,
}

impl<O: Operation> Request<O> {
    pub(super) fn new(db: Persistence, operation: Result<O>) -> Self {
        Self { db, operation, options: Options::default() }
    }

    /// Sets the idempotency key of the call: see [`IdempotencyKey`]. An invalid key fails the call as `Invalid`. So does
    /// any key of a read, of a consumer operation, or of an operation on a whole agent or runtime.
    pub fn key<K>(mut self, key: K) -> Self
    where
        K: TryInto<IdempotencyKey>,
        K::Error: Into<InvalidId>,
    {
        let has_thread = self.operation.as_ref().is_ok_and(|operation| operation.thread().is_some());
        if let Err(error) = self.options.set_key(O::KIND, has_thread, key) {
            self.operation = self.operation.and(Err(error));
        }
        self
    }

    /// Sets the longest time that the caller waits. After that the call fails as `Timeout`, with the effect that is known
    /// at that time. A write that the backend has received continues.
    pub fn deadline(mut self, after: Duration) -> Self {
        self.options.deadline = Some(after);
        self
    }

    /// Sets the instant of the deadline, for one of several calls that share it.
    pub(super) const fn until(mut self, until: Option<Instant>) -> Self {
        self.options.until = until;
        self
    }

    /// Records which changes the store reads for the call.
    pub(super) fn recording(mut self, scopes: &Arc<FeedScopes>) -> Self {
        self.options.feed_scopes = Some(Arc::clone(scopes));
        self
    }

    /// Runs the call and returns the answer with its receipt and its extensions.
    pub fn reply(self) -> ReplyFuture<O> {
        let execution = match self.operation {
            Ok(operation) => self.db.execute(operation.into(), self.options),
            // The pipeline refuses an invalid id or key like a call, so that an audit log records it.
            Err(error) => self.db.refuse(O::KIND, error),
        };
        ReplyFuture { execution, operation: PhantomData }
    }
}

impl<O: Operation> IntoFuture for Request<O> {
    type Output = Result<O::Output>;
    type IntoFuture = RequestFuture<O>;

    fn into_future(self) -> RequestFuture<O> {
        RequestFuture(self.reply())
    }
}

/// The future of [`Request::reply`].
#[derive(Debug)]
#[must_use = "nothing happens before it is awaited"]
pub struct ReplyFuture<O> {
    execution: Execution,
    operation: PhantomData<fn() -> O>,
}

impl<O: Operation> Future for ReplyFuture<O> {
    type Output = Result<Reply<O>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        match ready!(Pin::new(&mut self.execution).poll(cx)) {
            Ok(response) => Poll::Ready(Reply::from_response(response)),
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

/// The future of a [`Request`].
#[derive(Debug)]
#[must_use = "nothing happens before it is awaited"]
pub struct RequestFuture<O>(ReplyFuture<O>);

impl<O: Operation> Future for RequestFuture<O> {
    type Output = Result<O::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        match ready!(Pin::new(&mut self.0.execution).poll(cx)) {
            Ok(response) => Poll::Ready(O::output(response.result, |output| output)),
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

/// Returns the error of a handle for an invalid id.
pub(super) fn refused(error: &InvalidId) -> PersistError {
    PersistError::new(ErrorKind::Invalid, error.to_string()).with_effect(Effect::NotApplied)
}
