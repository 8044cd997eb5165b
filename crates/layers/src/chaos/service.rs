use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use tower_service::Service;

use super::{ChaosFuture, counts::Plan};
use throughline_core::{PersistError, PersistRequest, PersistResponse, Result};

/// The service of [`ChaosLayer`](super::ChaosLayer).
#[derive(Clone)]
pub struct ChaosService<S> {
    inner: S,
    plan: Arc<Plan>,
}

impl<S> ChaosService<S> {
    pub(super) const fn new(inner: S, plan: Arc<Plan>) -> Self {
        Self { inner, plan }
    }
}

impl<S: fmt::Debug> fmt::Debug for ChaosService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ChaosService").field(&self.inner).finish()
    }
}

impl<S> Service<PersistRequest> for ChaosService<S>
where
    S: Service<PersistRequest, Response = PersistResponse, Error = PersistError> + Clone,
{
    type Response = PersistResponse;
    type Error = PersistError;
    type Future = ChaosFuture<S>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: PersistRequest) -> Self::Future {
        match self.plan.decide(&request) {
            None => ChaosFuture::untouched(self.inner.call(request)),
            Some(rule) => {
                // The clone was not polled ready, so it stays here, and the call takes the ready service.
                let clone = self.inner.clone();
                let ready = std::mem::replace(&mut self.inner, clone);
                ChaosFuture::faulty(ready, request, rule)
            }
        }
    }
}
