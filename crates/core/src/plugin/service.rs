//! Mounts plugins as a service.

use std::{
    pin::{Pin, pin},
    sync::Arc,
    task::{Context as TaskContext, Poll},
};

use tower_service::Service;

use super::{
    Plugin,
    list::Item,
    next::Next,
    tail::{Inner, Tail},
};
use crate::{
    Call, PersistArgs, PersistError, PersistRequest, PersistResponse, Result, pipeline::PersistService,
};

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Calls the hook for the operation of `$request` with `$next`, each in a box of its own: smaller and faster than one
/// future over every operation. `$setup` runs inside the box.
macro_rules! call_hook {
    ($request:ident, $plugin:expr, { $($setup:tt)* }, $next:expr) => {{
        let PersistRequest { args, context } = $request;
        macro_rules! hook {
            ($op:ident, $method:ident) => {
                Box::pin(async move {
                    $($setup)*
                    $plugin.$method(Call { op: $op, context }, $next).await.map(Into::into)
                })
            };
        }
        match args {
            PersistArgs::Add(op) => hook!(op, add),
            PersistArgs::Reserve(op) => hook!(op, reserve),
            PersistArgs::UpdateContent(op) => hook!(op, update_content),
            PersistArgs::Update(op) => hook!(op, update),
            PersistArgs::Delete(op) => hook!(op, delete),
            PersistArgs::Batch(op) => hook!(op, batch),
            PersistArgs::Read(op) => hook!(op, read),
        }
    }};
}

impl<P: Plugin> Item for P {
    fn name(&self) -> &str {
        Plugin::name(self)
    }

    fn phase(&self) -> crate::Phase {
        Plugin::phase(self)
    }

    fn run<'a>(&'a self, request: PersistRequest, tail: Tail<'a>) -> BoxFuture<'a, Result<PersistResponse>> {
        call_hook!(request, self, {}, Next::new(tail))
    }
}

/// One plugin over the rest of the stack. A clone costs a reference count; always ready: the rest is made ready when
/// `next` runs.
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
        let shared = Arc::clone(&self.shared);
        call_hook!(
            request,
            shared.0,
            {
                let rest = pin!(Inner::new(shared.1.clone()));
            },
            Next::new(Tail::new(&[], 0, rest))
        )
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
