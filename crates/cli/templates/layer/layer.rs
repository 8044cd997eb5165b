use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use pin_project::pin_project;
use throughline::{
    Effect, ErrorKind, PersistError, PersistRequest, PersistResponse, Phase, Result, TenantId, ThreadId,
    operations::Addressed,
    pipeline::{Described, SiteSpec},
};
use tower::{Layer, Service};

/// The number of writes of each thread.
type Counts = Mutex<HashMap<(TenantId, ThreadId), u64>>;

/// Refuses writes to a thread above a maximum number. Fails closed.
///
/// Configuration and state live here; the service is a cheap clone. Clones of the layer share the counts.
#[derive(Debug, Clone)]
pub(crate) struct WriteCapLayer {
    most: u64,
    counts: Arc<Counts>,
}

impl WriteCapLayer {
    pub(crate) fn new(most: u64) -> Self {
        Self { most, counts: Arc::default() }
    }

    /// Counts the writes of a call, or returns an error above the maximum. Each item of a batch counts as one write.
    fn admit(&self, request: &PersistRequest) -> Result<()> {
        if !request.kind().is_write() {
            return Ok(());
        }
        let tenant = request.context.tenant();
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut added: HashMap<(TenantId, ThreadId), u64> = HashMap::new();
        for thread in request.args.each().filter_map(Addressed::thread) {
            *added.entry((tenant.clone(), thread.clone())).or_default() += 1;
        }
        // Check all threads before counting any: a batch is refused as a whole.
        if added.iter().any(|(key, more)| counts.get(key).copied().unwrap_or(0) + more > self.most) {
            let detail = format!("more than {} writes to one thread", self.most);
            return Err(PersistError::new(ErrorKind::Overloaded, detail).with_effect(Effect::NotApplied));
        }
        for (key, more) in added {
            *counts.entry(key).or_default() += more;
        }
        Ok(())
    }
}

/// The builder uses the name in errors, and refuses a stack in which the phase is out of order.
impl Described for WriteCapLayer {
    fn site(&self) -> SiteSpec {
        SiteSpec::new("write-cap", Phase::Admit)
    }
}

impl<S> Layer<S> for WriteCapLayer {
    type Service = WriteCapService<S>;

    fn layer(&self, inner: S) -> WriteCapService<S> {
        WriteCapService { inner, cap: self.clone() }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct WriteCapService<S> {
    inner: S,
    cap: WriteCapLayer,
}

impl<S> Service<PersistRequest> for WriteCapService<S>
where
    S: Service<PersistRequest, Response = PersistResponse, Error = PersistError>,
{
    type Response = PersistResponse;
    type Error = PersistError;
    type Future = WriteCapFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: PersistRequest) -> Self::Future {
        match self.cap.admit(&request) {
            Ok(()) => WriteCapFuture::Passed(self.inner.call(request)),
            Err(error) => WriteCapFuture::Refused(Some(error)),
        }
    }
}

#[pin_project(project = WriteCapProjection)]
#[derive(Debug)]
pub(crate) enum WriteCapFuture<F> {
    Passed(#[pin] F),
    Refused(Option<PersistError>),
}

impl<F: Future<Output = Result<PersistResponse>>> Future for WriteCapFuture<F> {
    type Output = Result<PersistResponse>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            WriteCapProjection::Passed(inner) => inner.poll(cx),
            WriteCapProjection::Refused(error) => {
                Poll::Ready(Err(error.take().expect("polled after it was ready")))
            }
        }
    }
}
