//! Calls that are made again while that is of use.

use std::{future::IntoFuture, time::Duration};

use tokio::time::{Instant, sleep};

use throughline_core::{ErrorKind, IdempotencyKey, PersistError, Result, Site};

/// How long a call is made again before its error is answered.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The first wait before a call is made again, and the longest: each is twice the one before.
const WAITS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// Makes a call, again and again under one key while its error passes with time.
pub(super) async fn repeated<T, C>(call: impl FnMut(IdempotencyKey) -> C) -> Result<T>
where
    C: IntoFuture<Output = Result<T>>,
{
    repeated_unless(call, |_| false).await
}

/// The same, but for errors that the caller knows better what to do about.
pub(super) async fn repeated_unless<T, C>(
    mut call: impl FnMut(IdempotencyKey) -> C,
    known: impl Fn(&PersistError) -> bool,
) -> Result<T>
where
    C: IntoFuture<Output = Result<T>>,
{
    let key = IdempotencyKey::mint();
    let (mut wait, longest) = WAITS;
    let give_up = Instant::now() + TIMEOUT;
    loop {
        let error = match call(key.clone()).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let later = Instant::now() + wait;
        if !error.is_transient() || is_closed(&error) || known(&error) || later > give_up {
            return Err(error);
        }
        sleep(wait).await;
        wait = (wait * 2).min(longest);
    }
}

/// Whether the pipeline was closed, which does not pass.
fn is_closed(error: &PersistError) -> bool {
    error.kind() == ErrorKind::Unavailable && error.site() == Some(&Site::Edge)
}
