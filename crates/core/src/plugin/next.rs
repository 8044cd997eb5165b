use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll},
};

use super::rest::Rest;
use crate::{
    Call, Context, Operation, PersistArgs, ReadArgs, Reply, Result, context::Shape, operation::OperationOf,
};

/// The rest of the stack, for one call.
///
/// [`run`](Self::run) consumes it, so that a plugin cannot run it twice. A plugin that does not run it short-circuits the call. A
/// layer that repeats calls, such as `retry`, is a tower layer.
pub struct Next<'a, O: Operation> {
    rest: Pin<&'a mut (dyn Rest<O> + 'a)>,
}

impl<'a, O: Operation> Next<'a, O> {
    pub(super) fn new(rest: Pin<&'a mut (dyn Rest<O> + 'a)>) -> Self {
        Self { rest }
    }

    /// Runs the rest of the stack with `call`, which must address the same thread and message as the original call.
    ///
    /// # Errors
    /// The error of an inner layer or of the backend, with its site.
    #[inline]
    pub fn run(self, call: Call<O>) -> NextFuture<'a, O> {
        let mut rest = self.rest;
        rest.as_mut().take(&mut Some(call));
        NextFuture { rest }
    }

    /// Makes a read through the rest of the stack on behalf of `context`. `next` can still run afterwards.
    ///
    /// # Errors
    /// The error of an inner layer or of the backend.
    pub async fn read<R: OperationOf<ReadArgs>>(&mut self, context: &Context, read: R) -> Result<R::Output> {
        let args = PersistArgs::Read(read.into());
        let sites = Arc::clone(&context.call().sites);
        let context = context.child(Shape::of(&args), sites, false);
        let Ok(op) = ReadArgs::try_from(args) else { unreachable!("a read is a read") };
        R::output(self.rest.as_mut().read(Call { op, context }).await?.output)
    }
}

impl<O: Operation> fmt::Debug for Next<'_, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Next<{}>", O::KIND)
    }
}

/// The future of [`Next::run`].
#[must_use = "nothing runs before it is awaited"]
pub struct NextFuture<'a, O: Operation> {
    rest: Pin<&'a mut (dyn Rest<O> + 'a)>,
}

impl<O: Operation> Future for NextFuture<'_, O> {
    type Output = Result<Reply<O>>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let mut answer = Poll::Pending;
        self.rest.as_mut().poll(cx, &mut answer);
        answer
    }
}

impl<O: Operation> Drop for NextFuture<'_, O> {
    /// Otherwise a call that a plugin dropped, for example in a `select!`, would live on in the future of the plugin.
    fn drop(&mut self) {
        self.rest.as_mut().cancel();
    }
}

impl<O: Operation> fmt::Debug for NextFuture<'_, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NextFuture<{}>", O::KIND)
    }
}
