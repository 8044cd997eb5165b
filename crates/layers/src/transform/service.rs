use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll},
};

use tower_service::Service;

use super::{
    Down, Transform, Up,
    layer::Shared,
    off_runtime, rewrite_args, rewrite_result,
    tail::complete_text,
    write::{HeldText, Write, content_bytes, report_held},
};
use throughline_core::{
    PersistArgs, PersistError, PersistRequest, PersistResponse, PersistResult, ReadArgs, ReadResult, Result,
    pipeline::{InnerService, PersistService},
};

/// The service of [`TransformLayer`](super::TransformLayer).
pub struct TransformService<S, T: Transform> {
    inner: S,
    shared: Arc<Shared<T>>,
}

impl<S, T: Transform> TransformService<S, T> {
    pub(super) const fn new(inner: S, shared: Arc<Shared<T>>) -> Self {
        Self { inner, shared }
    }
}

impl<S: Clone, T: Transform> Clone for TransformService<S, T> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), shared: Arc::clone(&self.shared) }
    }
}

impl<S, T: Transform> fmt::Debug for TransformService<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransformService")
            .field("name", &self.shared.transform.name())
            .field("open", &self.shared.open.len())
            .finish_non_exhaustive()
    }
}

impl<S: PersistService<Error = PersistError>, T: Transform> Service<PersistRequest>
    for TransformService<S, T>
{
    type Response = PersistResponse;
    type Error = PersistError;
    type Future = Pin<Box<dyn Future<Output = Result<PersistResponse>> + Send>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<()>> {
        // A call may read before it writes, each on a clone that it readies itself.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: PersistRequest) -> Self::Future {
        let (inner, shared) = (InnerService::new(self.inner.clone()), Arc::clone(&self.shared));
        if request.kind().is_write() {
            return Box::pin(async move {
                let mut response = Write::new(inner, Arc::clone(&shared)).run(request).await?;
                response.result = restore(&shared, response.result).await?;
                Ok(response)
            });
        }
        Box::pin(read(inner, shared, request))
    }
}

async fn read<S: PersistService<Error = PersistError>, T: Transform>(
    inner: InnerService<S>,
    shared: Arc<Shared<T>>,
    mut request: PersistRequest,
) -> Result<PersistResponse> {
    let transform = &*shared.transform;
    let mut down = Down::new(transform);
    down.prepare(&mut request.args);
    rewrite_args(transform.name(), &mut request.args, &mut down)?;
    let tail_read = match &request.args {
        PersistArgs::Read(ReadArgs::Content(read)) if T::RESTORES => {
            Some((read.clone(), request.context.clone()))
        }
        _ => None,
    };
    let read = match &request.args {
        PersistArgs::Read(ReadArgs::Get(get)) => {
            Some((request.context.tenant().clone(), get.thread.clone(), get.id.clone()))
        }
        _ => None,
    };
    let mut response = inner.forward(request).await?;
    if let (Some((read, context)), PersistResult::Read(ReadResult::Content(tail))) =
        (tail_read, &mut response.result)
    {
        complete_text(&inner, &context, read, tail).await?;
    }
    response.result = restore(&shared, response.result).await?;
    match &response.result {
        PersistResult::Read(ReadResult::Get(message)) => shared.open.read(message.iter()),
        PersistResult::Read(ReadResult::Page(page)) => shared.open.read(page.messages.iter()),
        _ => {}
    }
    if let (Some(key), PersistResult::Read(ReadResult::Get(message))) = (read, &response.result) {
        let revision = message.as_ref().map(|message| message.revision);
        let (bytes, text) = shared.open.held::<T>(&key, revision);
        report_held(&mut response.extensions, bytes);
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            // The buffered text of inner layers comes first: they received everything that this layer has forwarded.
            let inside =
                response.extensions.get::<HeldText>().map(|held| held.0.as_str()).unwrap_or_default();
            let text = [inside, &text].concat();
            response.extensions.insert(HeldText(text));
        }
    }
    Ok(response)
}

/// Rewrites an answer for the caller.
async fn restore<T: Transform>(shared: &Arc<Shared<T>>, mut result: PersistResult) -> Result<PersistResult> {
    if !T::RESTORES {
        return Ok(result);
    }
    let transform = Arc::clone(&shared.transform);
    off_runtime::run(content_bytes(&result), move || {
        rewrite_result(transform.name(), &mut result, &mut Up::new(&*transform))?;
        Ok(result)
    })
    .await
}
