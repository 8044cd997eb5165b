//! Which of two stores leads, by what they say themselves.

use crate::link::{set_replication_state, replication_status};
use throughline_core::{
    ErrorKind, PersistError, Persistence, Result,
    replication::{ReplicationState, ReplicationStatus},
};

/// How often it is looked anew where others change who leads meanwhile.
const TRIES: usize = 64;

/// The store that leads; nothing where neither does.
pub(super) async fn primary(stores: &[Persistence; 2]) -> Result<Option<usize>> {
    decide(&statuses(stores).await?)
}

/// How both stand at one moment. A stance that was left never comes back, so what the first is before the second was asked and
/// after that, it was all the time.
async fn statuses(stores: &[Persistence; 2]) -> Result<[ReplicationStatus; 2]> {
    let mut before = replication_status(&stores[0]).await?.replication_state;
    loop {
        let second = replication_status(&stores[1]).await?;
        let first = replication_status(&stores[0]).await?;
        if first.replication_state == before {
            return Ok([first, second]);
        }
        before = first.replication_state;
    }
}

fn decide(statuses: &[ReplicationStatus; 2]) -> Result<Option<usize>> {
    let is_primary = [0, 1].map(|store: usize| statuses[store].replication_state.is_primary());
    match is_primary {
        [true, false] => Ok(Some(0)),
        [false, true] => Ok(Some(1)),
        [false, false] => Ok(None),
        // Neither was ever told anything, or the follower to come was not yet.
        [true, true] if statuses[1].is_empty => Ok(Some(0)),
        [true, true] if statuses[0].is_empty => Ok(Some(1)),
        [true, true] => {
            let detail = "both stores lead, and have something in them";
            Err(PersistError::new(ErrorKind::Conflict, detail)
                .with_effect(throughline_core::Effect::NotApplied))
        }
    }
}

/// Finds the store that leads, and makes one lead where neither does: where both are equal, `preferred`.
///
/// Whoever does the same at once, or is still about to end a change, is refused or comes first; then it is looked anew.
pub(super) async fn settle(stores: &[Persistence; 2], preferred: usize) -> Result<usize> {
    for _ in 1..TRIES {
        match settle_once(stores, preferred).await {
            Err(error) if error.kind() == ErrorKind::Stale => {}
            answer => return answer,
        }
    }
    settle_once(stores, preferred).await
}

async fn settle_once(stores: &[Persistence; 2], preferred: usize) -> Result<usize> {
    let statuses = statuses(stores).await?;
    match decide(&statuses)? {
        Some(primary) => Ok(primary),
        None => give_back(stores, &statuses, preferred).await,
    }
}

/// As [`settle`], after a change away from `from` that may still be under way: what of it comes later is refused.
pub(super) async fn settle_after(stores: &[Persistence; 2], from: usize) -> Result<usize> {
    for _ in 1..TRIES {
        match settle_after_once(stores, from).await {
            Err(error) if error.kind() == ErrorKind::Stale => {}
            answer => return answer,
        }
    }
    settle_after_once(stores, from).await
}

async fn settle_after_once(stores: &[Persistence; 2], from: usize) -> Result<usize> {
    let statuses = statuses(stores).await?;
    match decide(&statuses)? {
        Some(primary) if primary != from => Ok(primary),
        Some(_) => {
            // What tells it to follow may be under way still, and comes too late then.
            let led = statuses[from].replication_state;
            set_replication_state(&stores[from], led, ReplicationState { epoch: led.epoch.next(), ..led }).await?;
            Ok(from)
        }
        None => give_back(stores, &statuses, from).await,
    }
}

/// Makes a store lead again while neither does: going by how they stood then, and refused as `Stale` where one stands otherwise by now.
///
/// Neither led since the one before was told to follow, so that has everything. It is the one that has followed nothing since; where both have,
/// they are equal. The other one is raised to the next epoch beforehand: whoever is still about to make that lead is refused.
async fn give_back(
    stores: &[Persistence; 2],
    statuses: &[ReplicationStatus; 2],
    preferred: usize,
) -> Result<usize> {
    let led = match [0, 1].map(|store: usize| statuses[store].cursor.is_some()) {
        [false, true] => 0,
        [true, false] => 1,
        _ => preferred,
    };
    let (old, new) = (statuses[led].replication_state, statuses[1 - led].replication_state);
    let epoch = old.epoch.max(new.epoch).next();
    set_replication_state(&stores[1 - led], new, ReplicationState { epoch, ..new }).await?;
    set_replication_state(&stores[led], old, ReplicationState { epoch, ..old.promoted() }).await?;
    Ok(led)
}
