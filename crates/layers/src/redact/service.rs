use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tower_service::Service;

use super::redaction::Redaction;
use crate::transform::TransformService;
use throughline_core::{PersistError, PersistRequest, PersistResponse, Result, pipeline::PersistService};

/// The service of [`RedactLayer`](super::RedactLayer).
#[derive(Clone)]
pub struct RedactService<S>(pub(super) TransformService<S, Redaction>);

impl<S> fmt::Debug for RedactService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedactService").field(&self.0).finish()
    }
}

impl<S: PersistService<Error = PersistError>> Service<PersistRequest> for RedactService<S> {
    type Response = PersistResponse;
    type Error = PersistError;
    type Future = Pin<Box<dyn Future<Output = Result<PersistResponse>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: PersistRequest) -> Self::Future {
        self.0.call(request)
    }
}
