//! The rest of a stack during one call, as a plugin holds it.

use std::{
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll},
};

use pin_project::pin_project;
use tower_service::Service;

use super::{Next, hook::Hooked};
use crate::{
    Call, Operation, PersistError, PersistRequest, PersistResponse, ReadArgs, Reply, Result,
    context::{AtWork, CallState},
    pipeline::{BoxFuture, GuardedFuture, Oneshot, PersistService, contract_violation, foreign_call},
};

/// The rest of a stack during one call, with an erased type. The call of the stack holds it in place, so that `next` needs no box.
pub trait Rest<O: Operation>: Send {
    /// Takes the call out of `call`. The plugin runs nothing before the first poll, except the part of its hook before the future.
    fn take(self: Pin<&mut Self>, call: &mut Option<Call<O>>);

    /// Polls the call, and stores its answer in `answer`, which is pending. Calls and answers are large, so that they pass by
    /// reference.
    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>, answer: &mut Poll<Result<Reply<O>>>);

    /// Drops the call.
    fn cancel(self: Pin<&mut Self>);

    /// Makes a read of its own, apart from the call.
    fn read<'a>(self: Pin<&'a mut Self>, read: Call<ReadArgs>) -> BoxFuture<'a, Result<Reply<ReadArgs>>>;
}

/// Reads through the inner plugins of a chain, for [`Next::read`].
pub(super) trait ReadsInside: Sync {
    /// Makes a read through the plugins from the site `first` on, and through the layers inside the chain.
    fn read(&self, first: u8, read: Call<ReadArgs>) -> BoxFuture<'_, Result<Reply<ReadArgs>>>;
}

/// The rest of a stack that begins with a plugin of a chain. The future of its hook, with a guard, borrows the rest inside it.
///
/// `run` calls the hook. Nothing in here grows with the number of plugins inside.
#[pin_project]
pub(super) struct PluginRest<'c, O: Operation, R, F> {
    run: R,
    inside: Option<Pin<&'c mut (dyn Rest<O> + 'c)>>,
    chain: &'c dyn ReadsInside,
    #[pin]
    hook: GuardedFuture<F, &'c Arc<CallState>>,
}

impl<'c, O, R, F> PluginRest<'c, O, R, F>
where
    O: Operation,
    R: FnMut(Call<O>, Next<'c, O>) -> F,
{
    pub(super) const fn new(
        site: u8,
        state: &'c Arc<CallState>,
        chain: &'c dyn ReadsInside,
        inside: Pin<&'c mut (dyn Rest<O> + 'c)>,
        run: R,
    ) -> Self {
        Self { run, inside: Some(inside), chain, hook: GuardedFuture::idle(site, state) }
    }
}

impl<'c, O, R, F> Rest<O> for PluginRest<'c, O, R, F>
where
    O: Hooked,
    R: FnMut(Call<O>, Next<'c, O>) -> F + Send,
    F: Future<Output = Result<Reply<O>>> + Send,
{
    fn take(self: Pin<&mut Self>, call: &mut Option<Call<O>>) {
        let this = self.project();
        let (Some(taken), Some(inside)) = (&*call, this.inside.take()) else { return };
        if let Some(refused) = refusal(this.hook.site(), taken, this.hook.call()) {
            this.hook.refuse(refused);
            return;
        }
        let run = this.run;
        this.hook.begin(|| run(call.take().expect("a call to take"), Next::new(inside)));
    }

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>, answer: &mut Poll<Result<Reply<O>>>) {
        self.project().hook.poll_into(cx, answer);
    }

    fn cancel(self: Pin<&mut Self>) {
        self.project().hook.stop();
    }

    fn read<'a>(self: Pin<&'a mut Self>, read: Call<ReadArgs>) -> BoxFuture<'a, Result<Reply<ReadArgs>>> {
        let this = self.project();
        let site = this.hook.site();
        if AtWork::is_on_another(read.context.call()) {
            return Box::pin(std::future::ready(Err(foreign_call(CallState::outside(site)))));
        }
        this.chain.read(site, read)
    }
}

/// Returns the error of a plugin that must not be called, because the outer plugin forwarded something else than it received.
#[inline]
fn refusal<O: Hooked>(site: u8, call: &Call<O>, state: &Arc<CallState>) -> Option<PersistError> {
    if !Arc::ptr_eq(call.context.call(), state) {
        return Some(foreign_call(CallState::outside(site)));
    }
    let violation = call.op.check_call(state).err()?;
    Some(contract_violation(violation, state, CallState::outside(site)))
}

/// The rest of a stack that is layers alone.
#[pin_project]
pub(super) struct LayersRest<'c, S: Service<PersistRequest>, O> {
    service: &'c S,
    #[pin]
    call: Option<Oneshot<S>>,
    operation: PhantomData<fn(O)>,
}

impl<'c, S: Service<PersistRequest>, O> LayersRest<'c, S, O> {
    pub(super) const fn new(service: &'c S) -> Self {
        Self { service, call: None, operation: PhantomData }
    }
}

impl<S: PersistService, O: Operation> Rest<O> for LayersRest<'_, S, O>
where
    S::Error: Into<PersistError>,
{
    fn take(self: Pin<&mut Self>, call: &mut Option<Call<O>>) {
        let mut this = self.project();
        // Nested, because a pair of both would move the call.
        if this.call.is_none()
            && let Some(call) = call.take()
        {
            this.call.set(Some(Oneshot::new(this.service.clone(), call.into())));
        }
    }

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>, answer: &mut Poll<Result<Reply<O>>>) {
        let call = self.project().call.as_pin_mut().expect("a call was taken");
        match call.poll(cx) {
            Poll::Pending => {}
            Poll::Ready(Err(error)) => *answer = Poll::Ready(Err(error.into())),
            Poll::Ready(Ok(PersistResponse { result, receipt, extensions })) => {
                let passed = O::output(result, |output| {
                    *answer = Poll::Ready(Ok(Reply { output, receipt, extensions }));
                });
                if let Err(error) = passed {
                    *answer = Poll::Ready(Err(error));
                }
            }
        }
    }

    fn cancel(self: Pin<&mut Self>) {
        self.project().call.set(None);
    }

    fn read<'a>(self: Pin<&'a mut Self>, read: Call<ReadArgs>) -> BoxFuture<'a, Result<Reply<ReadArgs>>> {
        let call = Oneshot::new(self.service.clone(), read.into());
        Box::pin(async move { Reply::from_response(call.await.map_err(Into::into)?) })
    }
}
