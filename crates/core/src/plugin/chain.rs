//! Adjacent plugins as one layer. One box holds the call of the whole chain, with the future of each plugin side by side.

use std::{
    fmt,
    future::{Future, poll_fn, ready},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context as TaskContext, Poll},
};

use tower::{
    layer::util::{Identity, Stack},
    util::Either,
};
use tower_layer::Layer;
use tower_service::Service;

use super::{
    Plugin,
    hook::Hooked,
    rest::{LayersRest, PluginRest, ReadsInside, Rest},
};
use crate::{
    Call, Operation, PersistError, PersistRequest, PersistResponse, ReadArgs, Reply, Result,
    context::{AtWork, CallState},
    operation::by_operation,
    pipeline::{BoxFuture, Boxed, BoxedLayers, Guard, PersistService, foreign_call},
};

/// The plugins of a chain as a type: nested pairs, with the innermost plugin last.
pub trait Links: Clone + Send + Sync + 'static {
    /// Runs a call through the plugins whose future this is, and then through `rest`.
    ///
    /// The future of the innermost plugin comes first: each plugin borrows the rest of the stack inside it. The future of the
    /// plugins outside of it follows, and the call enters at the outermost one.
    fn run<'c, O: Hooked>(
        &'c self,
        entry: &'c Entry<'c>,
        passing: &'c mut Passing<'_, O>,
        rest: Pin<&'c mut (dyn Rest<O> + 'c)>,
    ) -> impl Future<Output = ()> + Send;
}

/// Where a call enters a chain.
#[derive(Debug)]
pub struct Entry<'c> {
    /// The site of the outermost plugin that the call passes.
    first: u8,
    state: &'c Arc<CallState>,
    chain: &'c dyn ReadsInside,
}

impl fmt::Debug for dyn ReadsInside + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReadsInside")
    }
}

/// A call that enters a chain, and its answer. The futures of the plugins share it, so that none of them moves it.
#[derive(Debug)]
pub struct Passing<'c, O: Operation> {
    /// The call, until the outermost plugin takes it.
    call: &'c mut Option<Call<O>>,
    answer: Poll<Result<Reply<O>>>,
}

impl<'c, O: Operation> Passing<'c, O> {
    const fn new(call: &'c mut Option<Call<O>>) -> Self {
        Self { call, answer: Poll::Pending }
    }

    /// Runs the call through the rest of the stack, which takes the call from here and stores its answer here.
    async fn pass(&mut self, mut rest: Pin<&mut (dyn Rest<O> + '_)>) {
        rest.as_mut().take(self.call);
        poll_fn(|cx| {
            rest.as_mut().poll(cx, &mut self.answer);
            if self.answer.is_pending() { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }

    fn into_answer(self) -> Result<Reply<O>> {
        match self.answer {
            Poll::Ready(answer) => answer,
            Poll::Pending => unreachable!("a call that has passed a chain has an answer"),
        }
    }
}

impl Links for () {
    async fn run<'c, O: Hooked>(
        &'c self,
        _: &'c Entry<'c>,
        passing: &'c mut Passing<'_, O>,
        rest: Pin<&'c mut (dyn Rest<O> + 'c)>,
    ) {
        passing.pass(rest).await;
    }
}

impl<L: Links, P: Plugin> Links for (L, Mounted<P>) {
    async fn run<'c, O: Hooked>(
        &'c self,
        entry: &'c Entry<'c>,
        passing: &'c mut Passing<'_, O>,
        rest: Pin<&'c mut (dyn Rest<O> + 'c)>,
    ) {
        let (outside, Mounted { plugin, site }) = self;
        if *site < entry.first {
            return passing.pass(rest).await;
        }
        let hook = |call, next| O::hook(&**plugin, call, next);
        let rest = pin!(PluginRest::new(*site, entry.state, entry.chain, rest, hook));
        pin!(outside.run(entry, passing, rest)).await;
    }
}

/// A plugin of a chain, with its site.
#[derive(Debug)]
pub struct Mounted<P> {
    plugin: Arc<P>,
    site: u8,
}

impl<P> Clone for Mounted<P> {
    fn clone(&self) -> Self {
        Self { plugin: Arc::clone(&self.plugin), site: self.site }
    }
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
    S: Layer<PluginChainService<L, I>>,
{
    type Service = S::Service;

    fn layer(&self, inner: I) -> Self::Service {
        let chain = Chain { links: self.links.clone(), first: self.first, inner };
        self.outer.layer(PluginChainService { chain: Arc::new(chain) })
    }
}

/// The plugins of a chain over the rest of the stack.
struct Chain<L, S> {
    links: L,
    first: u8,
    inner: S,
}

impl<L: Links, S: PersistService> Chain<L, S> {
    /// Runs a call through the plugins from the site `first` on, and through the layers inside.
    async fn run<O: Hooked>(&self, first: u8, passing: &mut Passing<'_, O>) {
        let Some(Call { context, .. }) = &passing.call else { return };
        let state = Arc::clone(context.call());
        let entry = Entry { first, state: &state, chain: self };
        let rest = pin!(LayersRest::new(&self.inner));
        pin!(self.links.run(&entry, passing, rest)).await;
    }
}

impl<L: Links, S: PersistService> ReadsInside for Chain<L, S> {
    fn read(&self, first: u8, read: Call<ReadArgs>) -> BoxFuture<'_, Result<Reply<ReadArgs>>> {
        let mut call = Some(read);
        Box::pin(async move {
            let mut passing = Passing::new(&mut call);
            pin!(self.run(first, &mut passing)).await;
            passing.into_answer()
        })
    }
}

/// The service of a [`PluginChain`]. It is always ready; `next` waits for the readiness of the rest of the stack.
pub struct PluginChainService<L, S> {
    chain: Arc<Chain<L, S>>,
}

impl<L, S> Clone for PluginChainService<L, S> {
    fn clone(&self) -> Self {
        Self { chain: Arc::clone(&self.chain) }
    }
}

impl<L, S> fmt::Debug for PluginChainService<L, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginChainService").field("first", &self.chain.first).finish_non_exhaustive()
    }
}

impl<L: Links, S: PersistService> Service<PersistRequest> for PluginChainService<L, S> {
    type Response = PersistResponse;
    type Error = PersistError;
    type Future = BoxFuture<'static, Result<PersistResponse>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: PersistRequest) -> Self::Future {
        let PersistRequest { args, context } = request;
        let first = self.chain.first;
        // There is no layer outside the first site. An inner plugin can forward no call but its own.
        if first > 0 && AtWork::is_on_another(context.call()) {
            return Box::pin(ready(Err(foreign_call(CallState::outside(first)))));
        }
        let chain = Arc::clone(&self.chain);
        macro_rules! run {
            ($op:ident, $method:ident) => {{
                let mut running = Boxed::empty();
                let mut call = Some(Call { op: $op, context });
                running.as_mut().put(async move {
                    let mut passing = Passing::new(&mut call);
                    pin!(chain.run(chain.first, &mut passing)).await;
                    passing.into_answer().map(PersistResponse::from)
                });
                running
            }};
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
