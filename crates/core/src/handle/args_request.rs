//! A request whose operation is known only at run time.

use std::{
    future::{Future, IntoFuture},
    pin::Pin,
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use super::{Persistence, request::Options};
use crate::{
    IdempotencyKey, InvalidId, OpKind, PersistArgs, PersistResponse, Result, operation::Addressed as _,
    pipeline::Execution,
};

/// Any operation, which runs when it is awaited: a [`Request`](super::Request) for a host that learns the operation at run time,
/// such as a server or a binding for another language. [`Persistence::run_args`] returns it.
///
/// # Cancel safety
/// As for [`Request`](super::Request): a write that the backend has received continues after the future is dropped.
#[derive(Debug)]
#[must_use = "nothing happens before it is awaited"]
pub struct ArgsRequest {
    db: Persistence,
    kind: OpKind,
    args: Result<PersistArgs>,
    options: Options,
}

impl ArgsRequest {
    pub(super) fn new(db: Persistence, args: PersistArgs) -> Self {
        Self { db, kind: args.kind(), args: Ok(args), options: Options::default() }
    }

    /// Sets the idempotency key of the call: see [`IdempotencyKey`]. An invalid key fails the call as `Invalid`. So does
    /// any key of a read, of a consumer operation, or of an operation on a whole agent or runtime.
    pub fn key<K>(mut self, key: K) -> Self
    where
        K: TryInto<IdempotencyKey>,
        K::Error: Into<InvalidId>,
    {
        let has_thread = self.args.as_ref().is_ok_and(|args| args.thread().is_some());
        if let Err(error) = self.options.set_key(self.kind, has_thread, key) {
            self.args = self.args.and(Err(error));
        }
        self
    }

    /// Sets the longest time that the caller waits. After that the call fails as `Timeout`, with the effect that is known
    /// at that time. A write that the backend has received continues.
    pub fn deadline(mut self, after: Duration) -> Self {
        self.options.deadline = Some(after);
        self
    }
}

impl IntoFuture for ArgsRequest {
    type Output = Result<PersistResponse>;
    type IntoFuture = ArgsRequestFuture;

    fn into_future(self) -> ArgsRequestFuture {
        ArgsRequestFuture(match self.args {
            Ok(args) => self.db.execute(args, self.options),
            Err(error) => self.db.refuse(self.kind, error),
        })
    }
}

/// The future of an [`ArgsRequest`].
#[derive(Debug)]
#[must_use = "nothing happens before it is awaited"]
pub struct ArgsRequestFuture(Execution);

impl Future for ArgsRequestFuture {
    type Output = Result<PersistResponse>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx)
    }
}
