//! The calls of an import: which of them are repeated, and which errors end the import.

use std::time::Duration;

use throughline_core::{Effect, ErrorKind, PersistError, ThreadId};
use tokio::time::{Instant, sleep};

use crate::TransferError;

/// The longest time for which one call is repeated.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Makes a call, and repeats it while a quota refuses it for a stated time. A repeated import would not help: its calls for the
/// messages that the store has count against the quota too.
pub(super) async fn admitted<T, F: Future<Output = Result<T, PersistError>>>(
    call: impl Fn() -> F,
) -> Result<T, PersistError> {
    let end = Instant::now() + LONGEST_WAIT;
    loop {
        let result = call().await;
        let refused = result
            .as_ref()
            .err()
            .filter(|error| (error.kind(), error.effect()) == (ErrorKind::Overloaded, Effect::NotApplied));
        match refused.and_then(PersistError::retry_after) {
            Some(wait) if Instant::now() + wait <= end => sleep(wait).await,
            _ => return result,
        }
    }
}

/// Returns the text of an error about the content of a call, or about damage in its thread. Any other error ends the
/// import.
pub(super) fn refused(error: PersistError, thread: &ThreadId) -> Result<String, TransferError> {
    let is_of_this_alone = match error.kind() {
        ErrorKind::TooLarge | ErrorKind::Invalid => true,
        ErrorKind::Corrupt => error.thread() == Some(thread),
        _ => false,
    };
    if is_of_this_alone && error.effect() == Effect::NotApplied {
        return Ok(error.to_string());
    }
    Err(error.into())
}
