use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tower::ServiceExt as _;
use tower_service::Service;

use crate::{PersistError, PersistRequest, PersistResponse, Result};

pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What every service in a pipeline is. Implemented by whatever fits.
pub trait PersistService:
    Service<PersistRequest, Response = PersistResponse, Error: Into<PersistError>, Future: Send + 'static>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> PersistService for S where
    S: Service<PersistRequest, Response = PersistResponse, Error: Into<PersistError>, Future: Send + 'static>
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// A service behind one pointer, callable by reference. The only place where a stack is erased.
trait Erased: Send + Sync {
    fn call(&self, request: PersistRequest) -> BoxFuture<'static, Result<PersistResponse>>;
}

impl<S: PersistService<Error = PersistError>> Erased for S {
    fn call(&self, request: PersistRequest) -> BoxFuture<'static, Result<PersistResponse>> {
        Box::pin(self.clone().oneshot(request))
    }
}

/// A stack behind a shared pointer: a clone costs a reference count, whatever the depth. It is always ready; what is
/// inside is made ready as part of the call.
#[derive(Clone)]
pub struct SharedService(Arc<dyn Erased>);

impl SharedService {
    pub(crate) fn new(service: impl PersistService<Error = PersistError>) -> Self {
        Self(Arc::new(service))
    }

    pub(crate) fn run(&self, request: PersistRequest) -> BoxFuture<'static, Result<PersistResponse>> {
        self.0.call(request)
    }
}

impl Service<PersistRequest> for SharedService {
    type Response = PersistResponse;
    type Error = PersistError;
    type Future = BoxFuture<'static, Result<PersistResponse>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: PersistRequest) -> Self::Future {
        self.run(request)
    }
}

impl fmt::Debug for SharedService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedService")
    }
}
