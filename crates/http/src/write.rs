//! Writes that a client cannot cancel.

use std::future::{Future, IntoFuture};

use throughline_core::{Effect, ErrorKind, PersistError, Result};
use tracing::Instrument;

use crate::problem::Problem;

/// Runs a write to its end, in a task of its own. A server drops the future of a request when the client disconnects, and a
/// dropped call that the pipeline has not yet handed to the store would be cancelled.
///
/// # Cancel safety
/// The write continues when the future is dropped.
pub(crate) async fn detached<T, R>(request: R) -> Result<T, Problem>
where
    T: Send + 'static,
    R: IntoFuture<Output = Result<T>>,
    R::IntoFuture: Future<Output = Result<T>> + Send + 'static,
{
    let task = tokio::spawn(request.into_future().in_current_span());
    match task.await {
        Ok(result) => result.map_err(Problem::from),
        Err(error) => Err(ended(&error)),
    }
}

fn ended(error: &tokio::task::JoinError) -> Problem {
    let (kind, detail) = if error.is_panic() {
        (ErrorKind::Panicked, "the call panicked")
    } else {
        (ErrorKind::Cancelled, "the runtime of the server ended")
    };
    PersistError::new(kind, detail).with_effect(Effect::Unknown).into()
}
