use crate::{Persistence, Result};

/// Writes what is recorded of calls that have failed so far, or were answered elsewhere, whether or not their interval is over: before an
/// [`anchor`](super::anchor) that is to vouch for them too. Those that were applied have their entries already. What the
/// [budget](crate::audit::RejectedCallBudget) has no room for becomes one entry that says how many calls it were.
///
/// # Errors
/// What the store answers that does not take them. They wait: the pipeline writes them again after an interval, and when it is closed.
/// `Unavailable` where records wait in a pipeline that is closed: its store takes none any more.
///
/// # Cancel safety
/// Dropped, what it was about to write waits again; where the store had taken it, it is written twice.
pub async fn settle(db: &Persistence) -> Result<()> {
    db.bring_notes().await
}
