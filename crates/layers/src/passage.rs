//! A future for a call that a layer either forwards or refuses at once.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project::pin_project;

use throughline_core::{PersistError, PersistResponse, Result};

/// A forwarded call, or the error of a refused one.
#[pin_project(project = PassageProjection)]
#[derive(Debug)]
pub(super) enum Passage<F> {
    Passed(#[pin] F),
    Refused(Option<PersistError>),
}

impl<F> Passage<F> {
    pub(super) const fn refused(error: PersistError) -> Self {
        Self::Refused(Some(error))
    }
}

impl<F: Future<Output = Result<PersistResponse>>> Future for Passage<F> {
    type Output = Result<PersistResponse>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            PassageProjection::Passed(inner) => inner.poll(cx),
            PassageProjection::Refused(error) => {
                Poll::Ready(Err(error.take().expect("polled after it was ready")))
            }
        }
    }
}
