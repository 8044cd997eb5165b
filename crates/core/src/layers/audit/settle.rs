use crate::{Persistence, Result};

/// Waits until every call that has failed so far, or was answered elsewhere, has its entry: before an [`anchor`](super::anchor) that is to
/// vouch for them too. Those that were applied have theirs already.
///
/// # Errors
/// What the store answers that does not take them. They wait for the next call that fails, or for the pipeline to be closed.
///
/// # Cancel safety
/// Dropped, what it was about to write waits again; where the store had taken it, it is written twice.
pub async fn settle(db: &Persistence) -> Result<()> {
    db.bring_notes().await
}
