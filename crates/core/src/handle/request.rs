//! A call before it is made: await it, or say more about it first.

use std::{
    future::{Future, IntoFuture},
    marker::PhantomData,
    pin::Pin,
    task::{Context as TaskContext, Poll, ready},
    time::{Duration, Instant},
};

use super::Persistence;
use crate::{
    Effect, ErrorKind, IdempotencyKey, InvalidId, OpKind, Operation, PersistError, Reply, Result,
    pipeline::Execution,
};

/// What a caller says about one call.
#[derive(Debug, Clone, Default)]
pub(super) struct Options {
    pub(super) key: Option<IdempotencyKey>,
    pub(super) deadline: Option<Duration>,
    /// The moment of the deadline, for a call that is one of several under the same one.
    pub(super) until: Option<Instant>,
}

/// An operation that is made when it is awaited.
///
/// # Cancel safety
/// Dropping the future before the call was handed to the backend makes nothing happen. Afterwards the write goes on
/// by itself; learn its outcome by a read of the message, or by the same call with the same idempotency key.
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

    /// Gives the call an idempotency key: see [`IdempotencyKey`]. An unusable key is answered as `Invalid`, and so is any
    /// key of a read, of what a consumer keeps, or of what is done to a whole agent or runtime.
    pub fn key<K>(mut self, key: K) -> Self
    where
        K: TryInto<IdempotencyKey>,
        K::Error: Into<InvalidId>,
    {
        match key.try_into() {
            Ok(_) if !O::KIND.takes_key() => {
                let detail = if O::KIND.is_write() {
                    "what a consumer keeps takes no idempotency key"
                } else {
                    "a read takes no idempotency key"
                };
                let refusal = PersistError::new(ErrorKind::Invalid, detail);
                self.operation = self.operation.and(Err(refusal));
            }
            // Of an agent or a runtime as a whole.
            Ok(_)
                if O::KIND == OpKind::Session
                    && self.operation.as_ref().is_ok_and(|operation| operation.thread().is_none()) =>
            {
                let detail = "what is done to a whole agent or runtime takes no idempotency key";
                self.operation = Err(PersistError::new(ErrorKind::Invalid, detail));
            }
            Ok(key) => self.options.key = Some(key),
            Err(error) => self.operation = self.operation.and(Err(PersistError::from(error.into()))),
        }
        self
    }

    /// How long the caller waits. When it is over, the answer is `Timeout`, with the effect known at that moment; a
    /// write that was handed over goes on.
    pub fn deadline(mut self, after: Duration) -> Self {
        self.options.deadline = Some(after);
        self
    }

    /// Sets the moment of the deadline, for a call that is one of several under the same one.
    pub(super) const fn until(mut self, until: Option<Instant>) -> Self {
        self.options.until = until;
        self
    }

    /// The answer together with its receipt and what layers added to it.
    pub fn reply(self) -> ReplyFuture<O> {
        let execution = match self.operation {
            Ok(operation) => self.db.execute(operation.into(), self.options),
            // A malformed id or key: its error, and its entry in an audit log, say what those of a call do.
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
        Poll::Ready(ready!(Pin::new(&mut self.execution).poll(cx)).and_then(Reply::from_response))
    }
}

/// The future of a [`Request`].
#[derive(Debug)]
#[must_use = "nothing happens before it is awaited"]
pub struct RequestFuture<O>(ReplyFuture<O>);

impl<O: Operation> Future for RequestFuture<O> {
    type Output = Result<O::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let reply = ready!(Pin::new(&mut self.0).poll(cx))?;
        Poll::Ready(Ok(reply.output))
    }
}

/// What every handle says of an id that is none.
pub(super) fn refused(error: &InvalidId) -> PersistError {
    PersistError::new(ErrorKind::Invalid, error.to_string()).with_effect(Effect::NotApplied)
}
