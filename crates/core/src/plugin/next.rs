use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll, ready},
};

use pin_project::pin_project;

use super::tail::{Tail, TailFuture};
use crate::{
    Call, Context, Operation, PersistArgs, PersistRequest, ReadArgs, Reply, Result, context::Shape,
    operation::OperationOf,
};

/// The rest of the stack, for one call.
///
/// [`run`](Self::run) consumes it, so that a plugin cannot run it twice. A plugin that does not run it short-circuits the call. A
/// layer that repeats calls, such as `retry`, is a tower layer.
pub struct Next<'a, O> {
    tail: Tail<'a>,
    operation: PhantomData<fn(O)>,
}

impl<'a, O: Operation> Next<'a, O> {
    pub(super) const fn new(tail: Tail<'a>) -> Self {
        Self { tail, operation: PhantomData }
    }

    /// Runs the rest of the stack with `call`, which must address the same thread and message as the original call.
    ///
    /// # Errors
    /// The error of an inner layer or of the backend, with its site.
    pub fn run(self, call: Call<O>) -> NextFuture<'a, O> {
        NextFuture { tail: self.tail.run(call.into()), operation: PhantomData }
    }

    /// Makes a read through the rest of the stack on behalf of `context`. `next` can still run afterwards.
    ///
    /// # Errors
    /// The error of an inner layer or of the backend.
    pub async fn read<R: OperationOf<ReadArgs>>(&mut self, context: &Context, read: R) -> Result<R::Output> {
        let args = PersistArgs::Read(read.into());
        let sites = Arc::clone(&context.call().sites);
        let context = context.child(Shape::of(&args), sites, false);
        let response = self.tail.reborrow().run(PersistRequest { args, context }).await?;
        R::output(Reply::<ReadArgs>::from_response(response)?.output)
    }
}

impl<O: Operation> fmt::Debug for Next<'_, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Next<{}>", O::KIND)
    }
}

/// The future of [`Next::run`].
#[pin_project]
#[must_use = "nothing runs before it is awaited"]
pub struct NextFuture<'a, O> {
    #[pin]
    tail: TailFuture<'a>,
    operation: PhantomData<fn(O)>,
}

impl<O: Operation> Future for NextFuture<'_, O> {
    type Output = Result<Reply<O>>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        match ready!(self.project().tail.poll(cx)) {
            Ok(response) => Poll::Ready(Reply::from_response(response)),
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl<O: Operation> fmt::Debug for NextFuture<'_, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NextFuture<{}>", O::KIND)
    }
}
