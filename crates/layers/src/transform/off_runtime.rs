//! Moves long rewrites off the worker threads of the host's runtime.

use tokio::{runtime::Handle, task::spawn_blocking};

use throughline_core::{Effect, ErrorKind, PersistError, Result};

/// The bytes of content from which a call is rewritten on a blocking thread. The benchmark `redact.ns_per_byte`
/// measures the cost: at 50 ns for each byte, this many bytes occupy a worker for about a millisecond.
pub(super) const THRESHOLD: usize = 16 * 1024;

/// Runs `work` for a call with `bytes` of content: in place if it is short, else on a blocking thread.
///
/// A panic of `work` continues in the caller. A runtime that shuts down fails the call as `Unavailable`, and nothing is
/// forwarded.
pub(super) async fn run<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    if bytes < THRESHOLD || Handle::try_current().is_err() {
        return work();
    }
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(PersistError::new(
                ErrorKind::Unavailable,
                "the transform stopped: the runtime is shutting down; repeat the call on a running one",
            )
            .with_effect(Effect::NotApplied)),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[tokio::test]
    async fn only_long_calls_leave_the_worker() {
        let worker = thread::current().id();
        let ran_on = async |bytes| run(bytes, || Ok(thread::current().id())).await.unwrap();
        assert_eq!(ran_on(THRESHOLD - 1).await, worker);
        assert_ne!(ran_on(THRESHOLD).await, worker);
    }

    #[tokio::test]
    async fn a_panic_reaches_the_caller() {
        let call = tokio::spawn(run::<()>(THRESHOLD, || panic!("inside")));
        assert!(call.await.unwrap_err().is_panic());
    }
}
