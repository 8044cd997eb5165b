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

/// Returns a layer that keeps single messages in another pipeline, the target. `rule` selects them when they are added or
/// reserved. Later updates, deletions and reads of a selected message also go to the target, even after a restart. The row in
/// this store has a marker and the sequence number; the target has the content and the metadata.
///
/// Every operation on an id costs one read of the marker. The layer is in [`Phase::Route`].
///
/// # Refused operations
/// These fail as `Unsupported`:
///
/// - a batch with an item that addresses or creates a message of the target;
/// - a batch that clears or deletes a thread, or takes its last message;
/// - an import that would create a message of the target, or restore the damaged row of one;
/// - taking the last message of a thread, pruning, reading changes and searching, because none of them has a meaning over two
///   stores.
///
/// A clear, a deletion and a purge of a thread apply to both stores.
///
/// # Failures
/// If the process dies between the two stores, or the target refuses for a while, the row here stays an open reservation for the
/// recovery of expired drafts; other reads omit it. If a message was completed in the target and its row could not be settled,
/// the recovery settles the row; until then `Visibility::Final` omits the message. If the target fails, reads that need it fail
/// too, so that no answer is incomplete. A list reports a message that is damaged in the target as a
/// [`DamagedMessage`](crate::operation::DamagedMessage), with its sequence number here.
///
/// The host owns the target: closing this pipeline does not close it. Close it afterwards.
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
        // Every call makes several inner calls, each on a clone that was made ready for it.
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
            // The rule applies to added messages; an imported message counts as added.
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

/// Whether the rule applies to an operation.
const fn makes_a_message(args: &PersistArgs) -> bool {
    matches!(args, PersistArgs::Add(_) | PersistArgs::Reserve(_))
}
