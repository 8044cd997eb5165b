use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll},
};

use tower_layer::Layer;
use tower_service::Service;

use crate::{
    PersistError, PersistRequest, PersistResponse, Phase, Result,
    pipeline::{Described, PersistService, SharedService, SiteSpec},
};

/// Returns a layer of one async function over the erased request, for layers that handle every operation the same way.
///
/// ```
/// # use throughline_core::{Admitted, Backend, Capabilities, Durability};
/// # struct Nowhere;
/// # impl Backend for Nowhere {
/// #     fn name(&self) -> &str { "nowhere" }
/// #     fn capabilities(&self) -> Capabilities { Capabilities::new(Durability::Volatile) }
/// # }
/// use throughline_core::{
///     ErrorKind, NewMessage, Persistence, PersistError, PersistRequest, Phase,
///     plugin::{NextRequest, from_fn},
/// };
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> throughline_core::Result<()> {
/// let read_only = from_fn("read-only", Phase::Guard, |request: PersistRequest, next: NextRequest| async move {
///     if request.kind().is_write() {
///         return Err(PersistError::new(ErrorKind::Denied, "this handle only reads"));
///     }
///     next.run(request).await
/// });
/// let db = Persistence::builder().layer(read_only).backend(Nowhere).build()?;
/// let error = db.thread("t").add(NewMessage::user("hello")).await.unwrap_err();
/// assert_eq!((error.kind(), error.site().unwrap().name()), (ErrorKind::Denied, "read-only"));
/// # Ok(())
/// # }
/// ```
pub fn from_fn<F>(name: &str, phase: Phase, function: F) -> FromFn<F>
where
    F: AsyncRequestFn,
{
    FromFn { spec: SiteSpec::new(name.to_owned(), phase), function: Arc::new(function) }
}

/// An async function from a request and the rest of the stack to a response. Every closure with that signature implements it.
pub trait AsyncRequestFn: Send + Sync + 'static {
    /// Calls the function.
    fn call(
        self: Arc<Self>,
        request: PersistRequest,
        next: NextRequest,
    ) -> Pin<Box<dyn Future<Output = Result<PersistResponse>> + Send>>;
}

impl<F, Fut> AsyncRequestFn for F
where
    F: Fn(PersistRequest, NextRequest) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<PersistResponse>> + Send + 'static,
{
    fn call(
        self: Arc<Self>,
        request: PersistRequest,
        next: NextRequest,
    ) -> Pin<Box<dyn Future<Output = Result<PersistResponse>> + Send>> {
        Box::pin(self(request, next))
    }
}

/// The rest of the stack, for one request.
#[derive(Debug)]
pub struct NextRequest(SharedService);

impl NextRequest {
    /// Runs the rest of the stack with `request`, which must address the same thread and message as the original request.
    ///
    /// # Errors
    /// The error of an inner layer or of the backend, with its site.
    pub async fn run(mut self, request: PersistRequest) -> Result<PersistResponse> {
        poll_fn(|cx| self.0.poll_ready(cx)).await?;
        self.0.call(request).await
    }
}

/// The layer of [`from_fn`].
pub struct FromFn<F> {
    spec: SiteSpec,
    function: Arc<F>,
}

impl<F> Clone for FromFn<F> {
    fn clone(&self) -> Self {
        Self { spec: self.spec.clone(), function: Arc::clone(&self.function) }
    }
}

impl<F> fmt::Debug for FromFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FromFn").field(&self.spec).finish()
    }
}

impl<F> Described for FromFn<F> {
    fn site(&self) -> SiteSpec {
        self.spec.clone()
    }
}

impl<F: AsyncRequestFn, S: PersistService<Error = PersistError>> Layer<S> for FromFn<F> {
    type Service = FromFnService<F>;

    fn layer(&self, inner: S) -> Self::Service {
        FromFnService { function: Arc::clone(&self.function), inner: SharedService::new(inner) }
    }
}

/// The service of [`from_fn`].
pub struct FromFnService<F> {
    function: Arc<F>,
    inner: SharedService,
}

impl<F> Clone for FromFnService<F> {
    fn clone(&self) -> Self {
        Self { function: Arc::clone(&self.function), inner: self.inner.clone() }
    }
}

impl<F> fmt::Debug for FromFnService<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FromFnService")
    }
}

impl<F: AsyncRequestFn> Service<PersistRequest> for FromFnService<F> {
    type Response = PersistResponse;
    type Error = PersistError;
    type Future = Pin<Box<dyn Future<Output = Result<PersistResponse>> + Send>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: PersistRequest) -> Self::Future {
        Arc::clone(&self.function).call(request, NextRequest(self.inner.clone()))
    }
}
