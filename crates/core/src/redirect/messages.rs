use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll},
};

use tower_layer::Layer;
use tower_service::Service;

use super::ownership::Ownership;
use crate::{
    NewMessage, PersistArgs, PersistError, PersistRequest, PersistResponse, Persistence, Phase, Result,
    error::SiteName,
    operation::{Add, ImportRow},
    pipeline::{Described, InnerService, PersistService, SiteSpec},
};

/// A layer that gives single messages to another pipeline for life: `rule` is asked when one is added or reserved, and
/// what it picks is kept there. Later updates, deletes and reads of the message go there too, also after a restart:
/// the row in this store carries a marker and keeps the place in the thread, the other store has the content and the
/// metadata.
///
/// Every operation on an id costs one read of the marker. A batch that touches a message of the other side, or would make
/// one, is refused, and so is one that clears or deletes a thread or takes its last message. An import that would make a message of the
/// other side is refused, and one that would restore the damaged row of such a message. A thread is cleared and deleted on both sides; to prune it, to read the
/// changes and to search is refused: none of it has a meaning over two stores.
/// When the process dies between the two stores, or the other one refuses for a while, the row here stays an open reservation
/// for the sweep, and is shown to nobody else. When a message was completed there and its row could not be settled, the
/// sweep does it; until then `Visibility::Final` leaves the message out. It stands in [`Phase::Route`].
///
/// The target stays the host's: closing this pipeline does not close it, and it is closed afterwards. Where it fails, so do
/// the reads that show what it keeps: nothing is left out of an answer. A message that is damaged there is told of as
/// [`DamagedMessage`](crate::operation::DamagedMessage), in its place here, by whoever lists it.
///
/// ```
/// # use throughline_core::{Admitted, Backend, Capabilities, Durability};
/// # struct Nowhere(&'static str);
/// # impl Backend for Nowhere {
/// #     fn name(&self) -> &str { self.0 }
/// #     fn capabilities(&self) -> Capabilities { Capabilities::new(Durability::Volatile) }
/// # }
/// use throughline_core::{PersistArgs, Persistence, Role, redirect::redirect_messages};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> throughline_core::Result<()> {
/// let vault = Persistence::builder().backend(Nowhere("vault")).build()?;
/// let tools_only = |args: &PersistArgs| matches!(args, PersistArgs::Add(add) if add.role == Role::Tool);
/// let db = Persistence::builder()
///     .layer(redirect_messages("to-vault", tools_only, vault))
///     .backend(Nowhere("live"))
///     .build()?;
/// # let _ = db;
/// # Ok(())
/// # }
/// ```
pub fn redirect_messages<R>(name: &str, rule: R, target: Persistence) -> RedirectMessagesLayer<R>
where
    R: Fn(&PersistArgs) -> bool + Send + Sync + 'static,
{
    RedirectMessagesLayer { name: name.into(), rule: Arc::new(rule), target }
}

/// The layer of [`redirect_messages`].
pub struct RedirectMessagesLayer<R> {
    name: SiteName,
    rule: Arc<R>,
    target: Persistence,
}

impl<R> Clone for RedirectMessagesLayer<R> {
    fn clone(&self) -> Self {
        Self { name: Arc::clone(&self.name), rule: Arc::clone(&self.rule), target: self.target.clone() }
    }
}

impl<R> fmt::Debug for RedirectMessagesLayer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedirectMessagesLayer").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<R> Described for RedirectMessagesLayer<R> {
    fn site(&self) -> SiteSpec {
        SiteSpec::new(self.name.to_string(), Phase::Route).with_rank(60)
    }
}

impl<S, R> Layer<S> for RedirectMessagesLayer<R> {
    type Service = RedirectMessagesService<S, R>;

    fn layer(&self, inner: S) -> Self::Service {
        RedirectMessagesService {
            inner,
            name: Arc::clone(&self.name),
            rule: Arc::clone(&self.rule),
            target: self.target.clone(),
        }
    }
}

/// The service of [`redirect_messages`].
pub struct RedirectMessagesService<S, R> {
    inner: S,
    name: SiteName,
    rule: Arc<R>,
    target: Persistence,
}

impl<S: Clone, R> Clone for RedirectMessagesService<S, R> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            name: Arc::clone(&self.name),
            rule: Arc::clone(&self.rule),
            target: self.target.clone(),
        }
    }
}

impl<S, R> fmt::Debug for RedirectMessagesService<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedirectMessagesService").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<S, R> Service<PersistRequest> for RedirectMessagesService<S, R>
where
    S: PersistService<Error = PersistError>,
    R: Fn(&PersistArgs) -> bool + Send + Sync + 'static,
{
    type Response = PersistResponse;
    type Error = PersistError;
    type Future = Pin<Box<dyn Future<Output = Result<PersistResponse>> + Send>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<()>> {
        // Every call makes several inner ones, each on a clone that is readied for it.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: PersistRequest) -> Self::Future {
        let owner = Ownership {
            here: InnerService::new(self.inner.clone()),
            there: self.target.clone(),
            name: Arc::clone(&self.name),
        };
        let picked = match &request.args {
            PersistArgs::Batch(batch) => {
                batch.items.iter().any(|item| makes_a_message(item) && (self.rule)(item))
            }
            // The rule speaks of messages that are added; an imported one is added as any other.
            PersistArgs::Import(import) => {
                let adds = |row: &ImportRow| {
                    let message = NewMessage::new(row.role, row.content.clone())
                        .with_id(row.id.clone())
                        .with_metadata(row.metadata.clone())
                        .with_attachments(row.attachments.clone());
                    (self.rule)(&Add::new(import.thread.clone(), message).into())
                };
                import.rows.iter().any(adds)
            }
            args => makes_a_message(args) && (self.rule)(args),
        };
        Box::pin(owner.serve(request, picked))
    }
}

/// What the rule is asked about.
const fn makes_a_message(args: &PersistArgs) -> bool {
    matches!(args, PersistArgs::Add(_) | PersistArgs::Reserve(_))
}
