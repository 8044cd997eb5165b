//! Adjacent plugins as one layer: the future of each plugin contains the future of the next one, so that all of them share one box.

use std::{
    fmt,
    future::{Future, ready},
    marker::PhantomData,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context as TaskContext, Poll, ready},
};

use pin_project::pin_project;
use tower::{
    layer::util::{Identity, Stack},
    util::Either,
};
use tower_layer::Layer;
use tower_service::Service;

use super::{Next, Plugin, hook::Hooked, rest::InlineRest};
use crate::{
    Call, Context, PersistError, PersistRequest, PersistResponse, Reply, Result,
    context::{AtWork, CallState},
    operation::by_operation,
    pipeline::{
        BoxFuture, BoxedLayers, Guard, GuardedFuture, Oneshot, PersistService, contract_violation,
        foreign_call,
    },
};

/// The rest of a stack behind a plugin, for any call: the next plugin of the chain with its own rest, or the layers inside the chain.
pub trait Tail: Send + Sync + 'static {
    /// Runs the call with this context through the rest of the stack.
    fn run<O: Hooked>(
        &self,
        call: Call<O>,
        context: &Context,
    ) -> impl Future<Output = Result<Reply<O>>> + Send;
}

/// A plugin of a chain, with its guard, over the rest of the stack.
#[derive(Debug)]
pub struct Link<P, T> {
    plugin: Arc<P>,
    site: u8,
    tail: T,
}

impl<P: Plugin, T: Tail> Tail for Link<P, T> {
    async fn run<O: Hooked>(&self, call: Call<O>, context: &Context) -> Result<Reply<O>> {
        if let Some(refused) = refusal(self.site, &call, context) {
            return Err(refused);
        }
        let rest = pin!(InlineRest::new(&self.tail, |call: Call<O>| self.tail.run(call, context)));
        let mut hook = pin!(GuardedFuture::idle(self.site, context.call()));
        hook.as_mut().begin(|| O::hook(&*self.plugin, call, Next::new(rest)));
        hook.await
    }
}

/// Returns the error of a plugin that must not be called, because the outer plugin forwarded something else than it received.
fn refusal<O: Hooked>(site: u8, call: &Call<O>, context: &Context) -> Option<PersistError> {
    let (outer, state) = (CallState::outside(site), context.call());
    if !Arc::ptr_eq(call.context.call(), state) {
        return Some(foreign_call(outer));
    }
    let violation = call.op.check_call(state).err()?;
    Some(contract_violation(violation, state, outer))
}

/// The layers inside a chain.
#[derive(Debug, Clone)]
pub struct End<S>(S);

impl<S> End<S> {
    pub(super) const fn new(service: S) -> Self {
        Self(service)
    }
}

impl<S: PersistService> Tail for End<S>
where
    S::Error: Into<PersistError>,
{
    fn run<O: Hooked>(&self, call: Call<O>, _: &Context) -> impl Future<Output = Result<Reply<O>>> + Send {
        Typed { call: Oneshot::new(self.0.clone(), call.into()), operation: PhantomData }
    }
}

/// A call of a service, with a typed answer.
#[pin_project]
struct Typed<S: Service<PersistRequest>, O> {
    #[pin]
    call: Oneshot<S>,
    operation: PhantomData<fn(O)>,
}

impl<S: PersistService, O: Hooked> Future for Typed<S, O>
where
    S::Error: Into<PersistError>,
{
    type Output = Result<Reply<O>>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        Poll::Ready(match ready!(self.project().call.poll(cx)) {
            Ok(response) => Reply::from_response(response),
            Err(error) => Err(error.into()),
        })
    }
}

/// The plugins of a chain as a type: nested pairs, with the innermost plugin last.
pub trait Links {
    /// The chain over the rest of the stack.
    type Over<T: Tail>: Tail;

    /// Builds the chain over the rest of the stack.
    fn over<T: Tail>(&self, tail: T) -> Self::Over<T>;
}

impl Links for () {
    type Over<T: Tail> = T;

    fn over<T: Tail>(&self, tail: T) -> T {
        tail
    }
}

impl<L: Links, P: Plugin> Links for (L, Mounted<P>) {
    type Over<T: Tail> = L::Over<Link<P, T>>;

    fn over<T: Tail>(&self, tail: T) -> Self::Over<T> {
        let (outer, Mounted { plugin, site }) = self;
        outer.over(Link { plugin: Arc::clone(plugin), site: *site, tail })
    }
}

/// A plugin of a chain, with its site.
#[derive(Debug)]
pub struct Mounted<P> {
    plugin: Arc<P>,
    site: u8,
}

/// Adjacent plugins as one layer, inside the stack of layers `S`. [`Builder::plugin`](crate::Builder::plugin) creates it.
///
/// Each plugin has its own guard and its own site. A call costs one allocation for all plugins of the chain.
#[derive(Debug)]
pub struct PluginChain<L, S> {
    links: L,
    /// The site of the outermost plugin.
    first: u8,
    outer: S,
}

impl<L: Links, S, I: PersistService> Layer<I> for PluginChain<L, S>
where
    I::Error: Into<PersistError>,
    S: Layer<PluginChainService<L::Over<End<I>>>>,
{
    type Service = S::Service;

    fn layer(&self, inner: I) -> Self::Service {
        let chain = Arc::new(self.links.over(End::new(inner)));
        self.outer.layer(PluginChainService { chain, first: self.first })
    }
}

/// The service of a [`PluginChain`]. It is always ready; `next` waits for the readiness of the rest of the stack.
pub struct PluginChainService<T> {
    chain: Arc<T>,
    first: u8,
}

impl<T> Clone for PluginChainService<T> {
    fn clone(&self) -> Self {
        Self { chain: Arc::clone(&self.chain), first: self.first }
    }
}

impl<T> fmt::Debug for PluginChainService<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginChainService").field("first", &self.first).finish_non_exhaustive()
    }
}

impl<T: Tail> Service<PersistRequest> for PluginChainService<T> {
    type Response = PersistResponse;
    type Error = PersistError;
    type Future = BoxFuture<'static, Result<PersistResponse>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: PersistRequest) -> Self::Future {
        let PersistRequest { args, context } = request;
        // There is no layer outside the first site. An inner plugin can forward no call but its own.
        if self.first > 0 && AtWork::is_on_another(context.call()) {
            return Box::pin(ready(Err(foreign_call(CallState::outside(self.first)))));
        }
        let chain = Arc::clone(&self.chain);
        macro_rules! run {
            ($op:ident, $method:ident) => {
                Box::pin(async move {
                    let call = Call { op: $op, context: context.clone() };
                    chain.run(call, &context).await.map(PersistResponse::from)
                })
            };
        }
        by_operation!(args, run)
    }
}

/// The stack of a builder, which takes plugins. Every such stack implements it.
pub trait TakesPlugin: Sized {
    /// The stack with a plugin inside of it.
    type With<P: Plugin>;

    /// Adds a plugin as the site `site`: to the chain at the end of this stack, or in a new chain.
    #[must_use]
    fn with_plugin<P: Plugin>(self, plugin: P, site: u8) -> Self::With<P>;
}

impl<L, S> TakesPlugin for PluginChain<L, S> {
    type With<P: Plugin> = PluginChain<(L, Mounted<P>), S>;

    fn with_plugin<P: Plugin>(self, plugin: P, site: u8) -> Self::With<P> {
        let links = (self.links, Mounted { plugin: Arc::new(plugin), site });
        PluginChain { links, first: self.first, outer: self.outer }
    }
}

macro_rules! begins_a_chain {
    ($([$($parameter:ident),*] $stack:ty;)+) => {$(
        impl<$($parameter),*> TakesPlugin for $stack {
            type With<P: Plugin> = PluginChain<((), Mounted<P>), Self>;

            fn with_plugin<P: Plugin>(self, plugin: P, site: u8) -> Self::With<P> {
                let links = ((), Mounted { plugin: Arc::new(plugin), site });
                PluginChain { links, first: site, outer: self }
            }
        }
    )+};
}

begins_a_chain! {
    [] Identity;
    [N, S] Stack<Guard<N>, S>;
    [N, S] Stack<Either<Guard<N>, Identity>, S>;
    [S] Stack<BoxedLayers, S>;
}
