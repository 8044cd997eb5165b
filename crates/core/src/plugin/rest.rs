//! The rest of a stack during one call, as a plugin holds it.

use std::{
    future::Future,
    marker::PhantomData,
    pin::Pin,
    task::{Context as TaskContext, Poll},
};

use pin_project::pin_project;

use super::{chain::Tail, hook::Hooked};
use crate::{Call, Operation, ReadArgs, Reply, Result, pipeline::BoxFuture};

/// The rest of a stack during one call, with an erased type. The future of the plugin holds it in place, so that `next` needs no
/// box.
pub(super) trait Rest<O: Operation>: Send {
    /// Takes the call. Nothing runs before the first poll.
    fn take(self: Pin<&mut Self>, call: Call<O>);

    /// Polls the call.
    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Result<Reply<O>>>;

    /// Drops the call.
    fn cancel(self: Pin<&mut Self>);

    /// Makes a read of its own, apart from the call.
    fn read<'a>(self: Pin<&'a mut Self>, read: Call<ReadArgs>) -> BoxFuture<'a, Result<Reply<ReadArgs>>>;
}

/// The rest of a stack inside the future of a plugin. `run` turns a call into the future `F`.
#[pin_project]
pub(super) struct InlineRest<'t, O, T, R, F> {
    tail: &'t T,
    run: R,
    #[pin]
    running: Option<F>,
    operation: PhantomData<fn(O)>,
}

impl<'t, O, T, R: Fn(Call<O>) -> F, F> InlineRest<'t, O, T, R, F> {
    pub(super) const fn new(tail: &'t T, run: R) -> Self {
        Self { tail, run, running: None, operation: PhantomData }
    }
}

impl<O, T, R, F> Rest<O> for InlineRest<'_, O, T, R, F>
where
    O: Hooked,
    T: Tail,
    R: Fn(Call<O>) -> F + Send,
    F: Future<Output = Result<Reply<O>>> + Send,
{
    fn take(self: Pin<&mut Self>, call: Call<O>) {
        let mut this = self.project();
        let running = (this.run)(call);
        this.running.set(Some(running));
    }

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Result<Reply<O>>> {
        self.project().running.as_pin_mut().expect("a call was taken").poll(cx)
    }

    fn cancel(self: Pin<&mut Self>) {
        self.project().running.set(None);
    }

    fn read<'a>(self: Pin<&'a mut Self>, read: Call<ReadArgs>) -> BoxFuture<'a, Result<Reply<ReadArgs>>> {
        let tail = *self.project().tail;
        Box::pin(async move {
            let context = read.context.clone();
            tail.run(read, &context).await
        })
    }
}
