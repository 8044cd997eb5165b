use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project::pin_project;
use tower_service::Service;

use super::Authority;
use super::Capability;
use crate::passage::Passage;
use throughline_core::{Effect, ErrorKind, PersistError, PersistRequest, PersistResponse, Result};

/// The service of [`ScopeLayer`](super::ScopeLayer).
#[derive(Debug, Clone)]
pub struct ScopeService<S> {
    inner: S,
    authority: Authority,
}

impl<S> ScopeService<S> {
    pub(super) const fn new(inner: S, authority: Authority) -> Self {
        Self { inner, authority }
    }

    fn check(&self, request: &PersistRequest) -> Result<()> {
        let Some(capability) = request.context.credential::<Capability>() else {
            return Err(denied("the call has no capability"));
        };
        if !capability.is_of(&self.authority) {
            return Err(denied("the capability is of another authority"));
        }
        match capability.refuses(request.context.tenant(), &request.args) {
            Some(refusal) => Err(denied(refusal.to_string())),
            None => Ok(()),
        }
    }
}

fn denied(why: impl Into<std::borrow::Cow<'static, str>>) -> PersistError {
    PersistError::new(ErrorKind::Denied, why).with_effect(Effect::NotApplied)
}

impl<S> Service<PersistRequest> for ScopeService<S>
where
    S: Service<PersistRequest, Response = PersistResponse, Error = PersistError>,
{
    type Response = PersistResponse;
    type Error = PersistError;
    type Future = ScopeFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: PersistRequest) -> Self::Future {
        ScopeFuture(match self.check(&request) {
            Ok(()) => {
                request.context.accept_credential();
                Passage::Passed(self.inner.call(request))
            }
            Err(error) => Passage::refused(error),
        })
    }
}

/// The future of [`ScopeService`].
#[pin_project]
#[derive(Debug)]
pub struct ScopeFuture<F>(#[pin] Passage<F>);

impl<F: Future<Output = Result<PersistResponse>>> Future for ScopeFuture<F> {
    type Output = Result<PersistResponse>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().0.poll(cx)
    }
}
