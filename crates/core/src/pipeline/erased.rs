use std::{
    any::{Any, TypeId},
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use pin_project::pin_project;
use tower_service::Service;

use crate::{PersistError, PersistRequest, PersistResponse, Result};

pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A future that is made in its box.
///
/// `Box::pin` makes a future on the stack, with the space for everything that it will ever hold, and copies all of that. Of the
/// constructors in the standard library only `Box::default` makes a value in the box, so that the future follows afterwards.
#[pin_project]
pub(crate) struct Boxed<F> {
    #[pin]
    future: Option<F>,
}

impl<F> Boxed<F> {
    /// Returns a box for a future.
    #[inline]
    pub(crate) fn empty() -> Pin<Box<Self>> {
        Box::into_pin(Box::default())
    }

    /// Puts the future into its box.
    #[inline]
    pub(crate) fn put(self: Pin<&mut Self>, made: F) {
        let mut future = self.project().future;
        // Always true. It shows the compiler that there is no value to drop, and the future is then made in the box.
        if future.is_none() {
            future.set(Some(made));
        }
    }
}

impl<F> Default for Boxed<F> {
    #[inline]
    fn default() -> Self {
        Self { future: None }
    }
}

impl<F: Future> Future for Boxed<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.project().future.as_pin_mut().expect("a future was put into the box").poll(cx)
    }
}

/// The bounds of every service in a pipeline. Every type that meets them implements it.
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

/// A service behind one pointer, callable by reference. The stack is type-erased only here.
trait Erased: Send + Sync {
    fn call(&self, request: PersistRequest) -> BoxFuture<'static, Result<PersistResponse>>;
}

impl<S: PersistService<Error = PersistError>> Erased for S {
    fn call(&self, request: PersistRequest) -> BoxFuture<'static, Result<PersistResponse>> {
        type Call = BoxFuture<'static, Result<PersistResponse>>;
        // A chain of plugins or another shared stack boxes its calls itself, and is always ready: no second box.
        if TypeId::of::<S::Future>() == TypeId::of::<Call>() {
            let mut service = self.clone();
            if let Poll::Ready(Ok(())) = service.poll_ready(&mut Context::from_waker(Waker::noop())) {
                let mut call = Some(Service::call(&mut service, request));
                let call = (&mut call as &mut dyn Any).downcast_mut::<Option<Call>>();
                return call.and_then(Option::take).expect("the types are the same");
            }
        }
        let mut call = Boxed::empty();
        call.as_mut().put(Oneshot::new(self.clone(), request));
        call
    }
}

/// A future that waits until a service is ready and calls it once.
///
/// It differs from [`tower::util::Oneshot`] in one point: it drops the future of the call when it is dropped itself, not when
/// that future has answered. A panic while the future is dropped therefore does not replace the answer.
///
/// # Panics
/// If it is polled after `call` has panicked.
#[pin_project]
pub struct Oneshot<S: Service<PersistRequest>> {
    #[pin]
    state: OneshotState<S>,
}

#[pin_project(project = OneshotProjection, project_replace = OneshotReplaced)]
enum OneshotState<S: Service<PersistRequest>> {
    Start { service: S, request: PersistRequest },
    Running(#[pin] S::Future),
    Starting,
}

impl<S: Service<PersistRequest>> Oneshot<S> {
    /// Returns the future of one call. It does nothing before its first poll.
    pub const fn new(service: S, request: PersistRequest) -> Self {
        Self { state: OneshotState::Start { service, request } }
    }
}

impl<S: Service<PersistRequest>> Future for Oneshot<S> {
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        if let OneshotProjection::Start { service, .. } = state.as_mut().project() {
            ready!(service.poll_ready(cx))?;
            if let OneshotReplaced::Start { mut service, request } =
                state.as_mut().project_replace(OneshotState::Starting)
            {
                state.set(OneshotState::Running(service.call(request)));
            }
        }
        let OneshotProjection::Running(call) = state.project() else { panic!("polled after a panic") };
        call.poll(cx)
    }
}

impl<S: Service<PersistRequest>> fmt::Debug for Oneshot<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Oneshot").finish_non_exhaustive()
    }
}

/// A stack behind a shared pointer: a clone costs a reference count at any depth. It is always ready; each call waits for the
/// readiness of the inner services.
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;
    use crate::{
        ErrorKind, PersistArgs,
        context::{Context as CallContext, Facts, Shape},
        messages::Delete,
    };

    /// A service that boxes its calls, and is ready after it has been polled a number of times.
    #[derive(Debug, Clone, Default)]
    struct Boxes {
        polls_before: Arc<AtomicUsize>,
        /// The address of the last box.
        address: Arc<AtomicUsize>,
    }

    fn address(call: &BoxFuture<'static, Result<PersistResponse>>) -> usize {
        std::ptr::from_ref(&**call).cast::<()>().addr()
    }

    impl Service<PersistRequest> for Boxes {
        type Response = PersistResponse;
        type Error = PersistError;
        type Future = BoxFuture<'static, Result<PersistResponse>>;

        fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
            let waits =
                self.polls_before.fetch_update(Relaxed, Relaxed, |polls| polls.checked_sub(1)).is_ok();
            if waits {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: PersistRequest) -> Self::Future {
            let call: Self::Future =
                Box::pin(async move { Err(PersistError::unsupported(request.kind().as_str())) });
            self.address.store(address(&call), Relaxed);
            call
        }
    }

    fn request() -> PersistRequest {
        let args: PersistArgs = Delete::new("t".parse().unwrap(), "m".parse().unwrap()).into();
        let context = CallContext::new(Facts::default(), Shape::of(&args), Arc::new([]));
        PersistRequest { args, context }
    }

    #[tokio::test]
    async fn a_call_that_a_ready_service_has_boxed_is_not_boxed_again() {
        let service = Boxes::default();
        let call = SharedService::new(service.clone()).run(request());
        assert_eq!(address(&call), service.address.load(Relaxed));
        let error = call.await.unwrap_err();
        assert_eq!((error.kind(), error.to_string().contains("delete")), (ErrorKind::Unsupported, true));
    }

    #[tokio::test]
    async fn a_service_that_boxes_its_calls_is_not_called_before_it_is_ready() {
        let service = Boxes::default();
        service.polls_before.store(3, Relaxed);
        let call = SharedService::new(service.clone()).run(request());
        assert_eq!((service.address.load(Relaxed), service.polls_before.load(Relaxed)), (0, 2));
        assert_eq!(call.await.unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!(service.polls_before.load(Relaxed), 0);
    }
}
