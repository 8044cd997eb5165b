use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll, ready},
};

use pin_project::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::merge::merge;
use crate::{
    Effect, ErrorKind, PersistArgs, PersistError, PersistRequest, PersistResponse, Persistence, Phase,
    ReadArgs, Result, TenantId, ThreadId,
    error::SiteName,
    operation::{Addressed as _, facts::Split},
    pipeline::{Described, SiteSpec},
};

type BoxFuture = Pin<Box<dyn Future<Output = Result<PersistResponse>> + Send>>;

/// Returns a layer that sends every read and write of the threads that `rule` selects to another pipeline, the target.
///
/// The rule must be a pure function of the tenant and the thread, and must not change while the data exists. The layer is in
/// [`Phase::Route`].
///
/// - A batch over both stores is refused.
/// - A list of all threads is merged from both stores.
/// - The changes of one thread come from its store. A read of all changes is refused, because two stores have no common order.
/// - The sessions of an agent are in the store of their thread. An operation on a whole agent or runtime is refused: call each
///   store.
///
/// If the target fails, reads that need it fail too, so that no answer is incomplete. The host owns the target: closing this
/// pipeline does not close it. Close it afterwards.
///
/// ```
/// # use throughline_core::{Admitted, Backend, Capabilities, Durability};
/// # struct Nowhere(&'static str);
/// # impl Backend for Nowhere {
/// #     fn name(&self) -> &str { self.0 }
/// #     fn capabilities(&self) -> Capabilities { Capabilities::new(Durability::Volatile) }
/// # }
/// use throughline_core::{NewMessage, Persistence, redirect::redirect};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> throughline_core::Result<()> {
/// let archive = Persistence::builder().backend(Nowhere("archive")).build()?;
/// let db = Persistence::builder()
///     .layer(redirect("to-archive", |_tenant, thread| thread.as_str().starts_with("old:"), archive))
///     .backend(Nowhere("live"))
///     .build()?;
/// let error = db.thread("old:1").add(NewMessage::user("hello")).await.unwrap_err();
/// assert_eq!(error.site().unwrap().name(), "to-archive/archive");
/// # Ok(())
/// # }
/// ```
pub fn redirect<R>(name: &str, rule: R, target: Persistence) -> RedirectLayer<R>
where
    R: Fn(&TenantId, &ThreadId) -> bool + Send + Sync + 'static,
{
    RedirectLayer { name: name.into(), rule: Arc::new(rule), target }
}

/// The layer of [`redirect`].
pub struct RedirectLayer<R> {
    name: SiteName,
    rule: Arc<R>,
    target: Persistence,
}

impl<R> Clone for RedirectLayer<R> {
    fn clone(&self) -> Self {
        Self { name: Arc::clone(&self.name), rule: Arc::clone(&self.rule), target: self.target.clone() }
    }
}

impl<R> fmt::Debug for RedirectLayer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedirectLayer")
            .field("name", &self.name)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

impl<R> Described for RedirectLayer<R> {
    fn site(&self) -> SiteSpec {
        SiteSpec::new(self.name.to_string(), Phase::Route).with_rank(50)
    }
}

impl<S, R> Layer<S> for RedirectLayer<R> {
    type Service = RedirectService<S, R>;

    fn layer(&self, inner: S) -> Self::Service {
        RedirectService { inner, rule: Arc::clone(&self.rule), target: self.target.clone() }
    }
}

/// The service of [`redirect`].
pub struct RedirectService<S, R> {
    inner: S,
    rule: Arc<R>,
    target: Persistence,
}

impl<S: Clone, R> Clone for RedirectService<S, R> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), rule: Arc::clone(&self.rule), target: self.target.clone() }
    }
}

impl<S, R> fmt::Debug for RedirectService<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedirectService").field("target", &self.target).finish_non_exhaustive()
    }
}

/// The store of a request.
enum Side {
    Here,
    There,
    Both(ReadArgs),
    Refused(&'static str),
}

impl<S, R: Fn(&TenantId, &ThreadId) -> bool> RedirectService<S, R> {
    fn side(&self, request: &PersistRequest) -> Side {
        let tenant = request.context.tenant();
        let is_there = |args: &PersistArgs| args.thread().is_some_and(|thread| (self.rule)(tenant, thread));
        let there = match &request.args {
            PersistArgs::Batch(batch) => {
                let there = batch.items.iter().filter(|item| is_there(item)).count();
                if there != 0 && there != batch.items.len() {
                    return Side::Refused(
                        "a batch cannot address both sides of a redirect: send one batch to each",
                    );
                }
                there != 0
            }
            // The audit log of this side; each side has its own.
            PersistArgs::Read(ReadArgs::Audit(_)) => return Side::Here,
            args if args.thread().is_none() => {
                return match (args.facts().split_by_thread, args) {
                    (Split::Refused(reason), _) => Side::Refused(reason),
                    (Split::Both, PersistArgs::Read(read)) => Side::Both(read.clone()),
                    (Split::Here | Split::Both, _) => Side::Here,
                };
            }
            args => is_there(args),
        };
        if there { Side::There } else { Side::Here }
    }
}

impl<S, R> Service<PersistRequest> for RedirectService<S, R>
where
    S: Service<PersistRequest, Response = PersistResponse, Error = PersistError>,
    R: Fn(&TenantId, &ThreadId) -> bool,
{
    type Response = PersistResponse;
    type Error = PersistError;
    type Future = RedirectFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<()>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: PersistRequest) -> Self::Future {
        match self.side(&request) {
            Side::Here => RedirectFuture::Here(self.inner.call(request)),
            Side::There => {
                let PersistRequest { args, context } = request;
                RedirectFuture::There(self.target.execute_child(&context, args, true))
            }
            Side::Both(read) => {
                let there = self.target.execute_child(&request.context, request.args.clone(), false);
                RedirectFuture::Both { here: self.inner.call(request), first: None, there, read }
            }
            Side::Refused(why) => RedirectFuture::Refused(why),
        }
    }
}

/// The future of [`RedirectService`].
#[pin_project(project = RedirectProjection)]
pub enum RedirectFuture<F> {
    /// This side answers.
    Here(#[pin] F),
    /// The other side answers.
    There(BoxFuture),
    /// Both sides answer, one after the other.
    Both {
        /// This side.
        #[pin]
        here: F,
        /// The answer of this side.
        first: Option<Box<PersistResponse>>,
        /// The other side.
        there: BoxFuture,
        /// The read.
        read: ReadArgs,
    },
    /// Neither side can answer.
    Refused(&'static str),
}

impl<F: Future<Output = Result<PersistResponse>>> Future for RedirectFuture<F> {
    type Output = Result<PersistResponse>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        match self.project() {
            RedirectProjection::Here(here) => here.poll(cx),
            RedirectProjection::There(there) => there.as_mut().poll(cx),
            RedirectProjection::Both { here, first, there, read } => {
                if first.is_none() {
                    *first = Some(Box::new(ready!(here.poll(cx))?));
                }
                let second = ready!(there.as_mut().poll(cx))?;
                let first = first.take().expect("just answered");
                Poll::Ready(merge(*first, second, read))
            }
            RedirectProjection::Refused(why) => {
                let error = PersistError::new(ErrorKind::Unsupported, *why);
                Poll::Ready(Err(error.with_effect(Effect::NotApplied)))
            }
        }
    }
}

impl<F> fmt::Debug for RedirectFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedirectFuture")
    }
}
