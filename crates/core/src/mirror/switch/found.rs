//! Which of two stores leads, by what they say themselves.

use crate::{
    ErrorKind, PersistError, Persistence, Result,
    mirror::link::{stand, standing},
    replica::{Stance, Standing},
};

/// The store that leads; nothing where neither does.
pub(super) async fn leader(stores: &[Persistence; 2]) -> Result<Option<usize>> {
    let standings = [standing(&stores[0]).await?, standing(&stores[1]).await?];
    decide(&standings)
}

fn decide(standings: &[Standing; 2]) -> Result<Option<usize>> {
    let leads = [0, 1].map(|store: usize| standings[store].stance.leads());
    match leads {
        [true, false] => Ok(Some(0)),
        [false, true] => Ok(Some(1)),
        [false, false] => Ok(None),
        // Neither was ever told anything, or the follower to come was not yet.
        [true, true] if standings[1].is_empty => Ok(Some(0)),
        [true, true] if standings[0].is_empty => Ok(Some(1)),
        [true, true] => {
            let detail = "both stores lead, and have something in them";
            Err(PersistError::new(ErrorKind::Conflict, detail).with_effect(crate::Effect::NotApplied))
        }
    }
}

/// Finds the store that leads, and makes one lead where neither does.
///
/// Neither led since the one before was told to follow, so that has everything. It is the one that has followed nothing since; where both have,
/// they are equal, and it is the first. The other one is raised to the next epoch beforehand: whoever is still about to make that lead
/// is refused.
pub(super) async fn settle(stores: &[Persistence; 2]) -> Result<usize> {
    let standings = [standing(&stores[0]).await?, standing(&stores[1]).await?];
    if let Some(leader) = decide(&standings)? {
        return Ok(leader);
    }
    let led = usize::from(standings[0].cursor.is_some() && standings[1].cursor.is_none());
    give_back(stores, led).await
}

/// Makes a store lead again while neither does.
pub(super) async fn give_back(stores: &[Persistence; 2], led: usize) -> Result<usize> {
    let (old, new) = (standing(&stores[led]).await?.stance, standing(&stores[1 - led]).await?.stance);
    let epoch = old.epoch.max(new.epoch).next();
    stand(&stores[1 - led], new, Stance { epoch, ..new }).await?;
    stand(&stores[led], old, Stance { epoch, ..old.leading_next() }).await?;
    Ok(led)
}
