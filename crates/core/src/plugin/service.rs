//! The services that run plugins.

use std::{
    pin::{Pin, pin},
    sync::Arc,
    task::{Context as TaskContext, Poll},
};

use pin_project::pin_project;
use tower_service::Service;

use super::{
    Plugin,
    list::Item,
    next::Next,
    tail::{Inner, Tail},
};
use crate::{
    Call, Operation, PersistError, PersistRequest, PersistResponse, Reply, Result, operation::by_operation,
    pipeline::PersistService,
};

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A hook that is called at its first poll, and whose answer is erased. The call and the future share one memory slot; an `async`
/// block would reserve space for both.
#[pin_project(project = HookProjection, project_replace = HookReplaced)]
enum Hook<C, F> {
    Start(C),
    Running(#[pin] F),
    Starting,
}

impl<C, F, O> Future for Hook<C, F>
where
    C: FnOnce() -> F,
    F: Future<Output = Result<Reply<O>>>,
    O: Operation,
{
    type Output = Result<PersistResponse>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        if matches!(*self, Self::Start(_))
            && let HookReplaced::Start(call) = self.as_mut().project_replace(Self::Starting)
        {
            self.set(Self::Running(call()));
        }
        let HookProjection::Running(hook) = self.project() else {
            panic!("polled after its hook had panicked")
        };
        match hook.poll(cx) {
            Poll::Ready(Ok(reply)) => Poll::Ready(Ok(reply.into())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<P: Plugin> Item for P {
    fn name(&self) -> &str {
        Plugin::name(self)
    }

    fn phase(&self) -> crate::Phase {
        Plugin::phase(self)
    }

    fn run<'a>(&'a self, request: PersistRequest, tail: Tail<'a>) -> BoxFuture<'a, Result<PersistResponse>> {
        let PersistRequest { args, context } = request;
        macro_rules! hook {
            ($op:ident, $method:ident) => {
                Box::pin(Hook::Start(move || self.$method(Call { op: $op, context }, Next::new(tail))))
            };
        }
        by_operation!(args, hook)
    }
}

/// One plugin over the rest of the stack. A clone costs a reference count. It is always ready; `next` waits for the readiness of
/// the rest.
#[derive(Debug)]
pub struct PluginService<P, S> {
    shared: Arc<(Arc<P>, S)>,
}

impl<P, S> PluginService<P, S> {
    pub(super) fn new(plugin: Arc<P>, inner: S) -> Self {
        Self { shared: Arc::new((plugin, inner)) }
    }
}

impl<P, S> Clone for PluginService<P, S> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<P: Plugin, S: PersistService> Service<PersistRequest> for PluginService<P, S>
where
    S::Error: Into<PersistError>,
{
    type Response = PersistResponse;
    type Error = PersistError;
    type Future = BoxFuture<'static, Result<PersistResponse>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: PersistRequest) -> Self::Future {
        let PersistRequest { args, context } = request;
        let shared = Arc::clone(&self.shared);
        macro_rules! hook {
            ($op:ident, $method:ident) => {
                Box::pin(async move {
                    let rest = pin!(Inner::new(shared.1.clone()));
                    let next = Next::new(Tail::new(&[], 0, rest));
                    Hook::Start(|| shared.0.$method(Call { op: $op, context }, next)).await
                })
            };
        }
        by_operation!(args, hook)
    }
}

type Items = Arc<[Arc<dyn Item>]>;

/// A list of plugins over the rest of the stack.
pub struct PluginListService<S> {
    shared: Arc<(Items, S)>,
    first: u8,
}

impl<S> PluginListService<S> {
    pub(super) fn new(items: Items, first: u8, inner: S) -> Self {
        Self { shared: Arc::new((items, inner)), first }
    }
}

impl<S> std::fmt::Debug for PluginListService<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.shared.0.iter().map(|item| item.name())).finish()
    }
}

impl<S> Clone for PluginListService<S> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), first: self.first }
    }
}

impl<S: PersistService> Service<PersistRequest> for PluginListService<S>
where
    S::Error: Into<PersistError>,
{
    type Response = PersistResponse;
    type Error = PersistError;
    type Future = BoxFuture<'static, Result<PersistResponse>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: PersistRequest) -> Self::Future {
        let shared = Arc::clone(&self.shared);
        let first = self.first;
        Box::pin(async move {
            let rest = pin!(Inner::new(shared.1.clone()));
            Tail::new(&shared.0, first, rest).run(request).await
        })
    }
}
