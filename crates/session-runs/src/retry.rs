//! The retries of the runner's own calls, while their errors are transient.

use std::{future::IntoFuture, time::Duration};

use throughline_core::{ErrorKind, IdempotencyKey, PersistError, Result, Site};
use tokio::time::{Instant, sleep};

/// The period of retries. After it the runner returns the last error.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The first delay before a retry. Each delay is twice the one before.
const FIRST_DELAY: Duration = Duration::from_millis(50);

/// The longest delay before a retry.
const LONGEST_DELAY: Duration = Duration::from_secs(5);

/// Makes a call, and repeats it with the same key while its error is transient.
pub(crate) async fn retry<T, C>(call: impl FnMut(IdempotencyKey) -> C) -> Result<T>
where
    C: IntoFuture<Output = Result<T>>,
{
    retry_unless(call, |_| false).await
}

/// Like [`retry`], but returns each error for which `is_known` is true at once: the caller handles it.
pub(crate) async fn retry_unless<T, C>(
    mut call: impl FnMut(IdempotencyKey) -> C,
    is_known: impl Fn(&PersistError) -> bool,
) -> Result<T>
where
    C: IntoFuture<Output = Result<T>>,
{
    let key = IdempotencyKey::mint();
    let mut delay = FIRST_DELAY;
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let error = match call(key.clone()).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let next = Instant::now() + delay;
        if !error.is_transient() || is_closed(&error) || is_known(&error) || next > deadline {
            return Err(error);
        }
        sleep(delay).await;
        delay = (delay * 2).min(LONGEST_DELAY);
    }
}

/// Whether the pipeline is closed, which is permanent.
fn is_closed(error: &PersistError) -> bool {
    error.kind() == ErrorKind::Unavailable && error.site() == Some(&Site::Edge)
}
