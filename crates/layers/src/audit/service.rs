use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use tower_service::Service;

use super::{AuditKey, items::items};
use throughline_core::{
    PersistArgs, PersistError, PersistRequest, PersistResponse, Result,
    audit::{AuditDraft, AuditSealer},
};

/// The service of [`AuditLayer`](super::AuditLayer).
#[derive(Clone)]
pub struct AuditService<S> {
    inner: S,
    key: AuditKey,
    sealer: Arc<dyn AuditSealer>,
}

impl<S> AuditService<S> {
    pub(super) fn new(inner: S, key: AuditKey) -> Self {
        let sealer = Arc::new(key.clone());
        Self { inner, key, sealer }
    }
}

impl<S: fmt::Debug> fmt::Debug for AuditService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AuditService").field(&self.inner).finish()
    }
}

impl<S> Service<PersistRequest> for AuditService<S>
where
    S: Service<PersistRequest, Response = PersistResponse, Error = PersistError>,
{
    type Response = PersistResponse;
    type Error = PersistError;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: PersistRequest) -> Self::Future {
        // A replica has the log of its primary, and no entries of its own.
        if request.args.kind().is_write() && !matches!(request.args, PersistArgs::Replica(_)) {
            let PersistRequest { args, context } = &request;
            context.set_audit(|| {
                AuditDraft::new(Arc::clone(&self.sealer), self.key.content_digest(args), items(args))
            });
        }
        self.inner.call(request)
    }
}
