use std::{
    fmt,
    pin::pin,
    sync::Arc,
    task::{Context as TaskContext, Poll},
};

use tower_service::Service;

use super::{Next, Plugin, rest::LayersRest};
use crate::{
    Call, PersistError, PersistRequest, PersistResponse, Result,
    operation::by_operation,
    pipeline::{BoxFuture, Boxed, PersistService},
};

/// One plugin over the rest of the stack. A clone costs a reference count. It is always ready; `next` waits for the readiness of
/// the rest.
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

impl<P: Plugin, S> fmt::Debug for PluginService<P, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PluginService").field(&self.shared.0.name()).finish()
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
        macro_rules! run {
            ($op:ident, $method:ident) => {{
                let mut running = Boxed::empty();
                running.as_mut().put(async move {
                    let (plugin, inner) = &*shared;
                    let rest = pin!(LayersRest::new(inner));
                    plugin
                        .$method(Call { op: $op, context }, Next::new(rest))
                        .await
                        .map(PersistResponse::from)
                });
                running
            }};
        }
        by_operation!(args, run)
    }
}
