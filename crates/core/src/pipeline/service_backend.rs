use std::future::poll_fn;

use tower_service::Service;

use crate::backend::{Admitted, Backend, Capabilities, forward_operations};
use crate::{Operation, PersistError, PersistRequest, PersistResponse, Reply, Result, error::SiteName};

/// A tower service as the backend of a pipeline: a remote store behind a client stack, or a test double.
///
/// ```
/// use throughline_core::{
///     Capabilities, Durability, Effect, ErrorKind, NewMessage, PersistError, PersistRequest, PersistResponse,
///     Persistence, pipeline::ServiceBackend,
/// };
/// use tower::service_fn;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), PersistError> {
/// let remote = service_fn(|request: PersistRequest| async move {
///     let down = PersistError::new(ErrorKind::Unavailable, "no connection").with_effect(Effect::NotApplied);
///     Err::<PersistResponse, _>(down)
/// });
/// let backend = ServiceBackend::new("remote", Capabilities::full(Durability::Process), remote);
/// let db = Persistence::builder().backend(backend).build()?;
/// let error = db.thread("t").add(NewMessage::user("hello")).await.unwrap_err();
/// assert!(error.is_transient());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ServiceBackend<S> {
    name: SiteName,
    capabilities: Capabilities,
    service: S,
}

impl<S> ServiceBackend<S> {
    /// Returns a backend of this service, with this name and these capabilities.
    pub fn new(name: &str, capabilities: Capabilities, service: S) -> Self {
        Self { name: name.into(), capabilities, service }
    }
}

impl<S> ServiceBackend<S>
where
    S: Service<PersistRequest, Response = PersistResponse> + Clone + Send + Sync + 'static,
    S::Error: Into<PersistError> + Send,
    S::Future: Send,
{
    async fn forward<O: Operation>(&self, call: Admitted<'_, O>) -> Result<Reply<O>> {
        let (op, context, _) = call.into_parts();
        let mut service = self.service.clone();
        poll_fn(|cx| service.poll_ready(cx)).await.map_err(Into::into)?;
        let response = service.call(PersistRequest { args: op.into(), context }).await.map_err(Into::into)?;
        Reply::from_response(response)
    }
}

impl<S> Backend for ServiceBackend<S>
where
    S: Service<PersistRequest, Response = PersistResponse> + Clone + Send + Sync + 'static,
    S::Error: Into<PersistError> + Send,
    S::Future: Send,
{
    fn name(&self) -> &str {
        &self.name
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }

    forward_operations!(all => forward);
}
