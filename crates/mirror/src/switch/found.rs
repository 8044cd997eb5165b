//! Finds the primary of two stores from their replication status.

use crate::link::{replication_status, set_replication_state};
use throughline_core::{
    ErrorKind, PersistError, Persistence, Result,
    replication::{ReplicationState, ReplicationStatus},
};

/// The most attempts while other processes switch the primary.
const TRIES: usize = 64;

/// Returns the index of the primary. `None` if both are replicas.
pub(super) async fn primary(stores: &[Persistence; 2]) -> Result<Option<usize>> {
    decide(&statuses(stores).await?)
}

/// Returns the status of both stores at one moment. An earlier status never returns, so that the first store had its status all
/// the time between its two reads.
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
        // Neither store was ever a replica, or the empty one is not one yet.
        [true, true] if statuses[1].is_empty => Ok(Some(0)),
        [true, true] if statuses[0].is_empty => Ok(Some(1)),
        [true, true] => {
            let detail = "both stores are primaries, and neither is empty";
            Err(PersistError::new(ErrorKind::Conflict, detail)
                .with_effect(throughline_core::Effect::NotApplied))
        }
    }
}

/// Finds the primary, and makes a store the primary if neither is one: `preferred` if both are equal.
///
/// If another process does the same or completes a switchover, one of the two fails as stale and tries again.
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

/// Like [`settle`], after a switchover away from `from` that may still run. Its later steps then fail.
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
            // Raise the epoch, so that a late step of the switchover fails.
            let led = statuses[from].replication_state;
            set_replication_state(&stores[from], led, ReplicationState { epoch: led.epoch.next(), ..led })
                .await?;
            Ok(from)
        }
        None => give_back(stores, &statuses, from).await,
    }
}

/// Makes a store the primary again while neither is one. Fails as `Stale` if a store has another status by now.
///
/// Neither store was a primary since the last one became a replica, so that that store has all data. It is the store without a
/// copy cursor; if both have one, they are equal. The epoch of the other store is raised first, so that a process that is about
/// to make it the primary fails.
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
