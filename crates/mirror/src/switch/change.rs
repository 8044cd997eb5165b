//! The switchover: makes the replica the primary.

use std::{
    sync::atomic::Ordering::SeqCst,
    time::{Duration, Instant},
};

use super::{ActiveMirror, Shared, found};
use crate::{
    Mirror,
    link::{Link, replication_status, set_replication_state},
};
use throughline_core::{
    Effect, ErrorKind, PersistError, Position, Result,
    replication::{ApplyImages, BeginCapture, Epoch, ReplicationState},
};

/// The result of a switchover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Switched {
    /// The new epoch.
    pub epoch: Epoch,
    /// The position at which the new primary began.
    pub position: Position,
    /// The time for which writes were held.
    pub held: Duration,
}

fn late(detail: &'static str) -> PersistError {
    PersistError::new(ErrorKind::Timeout, detail).with_effect(Effect::NotApplied)
}

impl Shared {
    pub(super) async fn change(&self, from: usize, timeout: Duration) -> Result<Switched> {
        let Ok(mut mirror) = self.mirror.try_lock() else {
            let error = PersistError::new(ErrorKind::Busy, "another switchover is in progress");
            return Err(error.with_effect(Effect::NotApplied));
        };
        match self.look().await.map_err(|error| error.with_effect(Effect::NotApplied))? {
            Some(primary) if primary == from => {}
            Some(_) => {
                let error = PersistError::new(ErrorKind::Conflict, "the other store is the primary already");
                return Err(error.with_effect(Effect::NotApplied));
            }
            None => {
                let detail = "neither store is the primary: another process is switching over, or has ended during a switchover";
                return Err(PersistError::new(ErrorKind::Busy, detail).with_effect(Effect::NotApplied));
            }
        }
        let Some(ActiveMirror { mirror: active, .. }) = mirror.as_ref().filter(|mirror| mirror.from == from)
        else {
            let error = PersistError::new(
                ErrorKind::Conflict,
                "the other store is not a replica: start a mirror first",
            );
            return Err(error.with_effect(Effect::NotApplied));
        };
        let position = replication_status(&self.stores[from]).await?.position;
        match tokio::time::timeout(timeout, active.reached(position)).await {
            Ok(true) => {}
            Ok(false) => {
                let why = active.status().last_failure;
                let error =
                    why.unwrap_or_else(|| PersistError::new(ErrorKind::Conflict, "the mirror has stopped"));
                return Err(error.with_effect(Effect::NotApplied));
            }
            Err(_) => return Err(late("the replica is too far behind")),
        }
        let Ok(held_writes) = tokio::time::timeout(timeout, self.switch_lock.write()).await else {
            return Err(late("running writes did not end in time"));
        };
        let begun = Instant::now();
        if let Some(active) = mirror.take() {
            active.mirror.stop().await;
        }
        let changed = tokio::time::timeout(timeout, self.hand_over(from)).await;
        let changed = match changed {
            Ok(Ok(changed)) => Ok(changed),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(late("the remaining changes could not be copied in time")),
        };
        // The stores are the authority on the outcome, also after a failure.
        let answer = match changed {
            Ok((epoch, position)) => {
                self.primary.store(1 - from, SeqCst);
                Ok(Switched { epoch, position, held: begun.elapsed() })
            }
            Err(error) => self.go_back(from, error).await,
        };
        drop(held_writes);
        // If the new mirror cannot start, the status has the reason, and the host starts it again.
        let primary = self.primary.load(SeqCst);
        let link = Link::open(self.stores[primary].clone(), self.stores[1 - primary].clone()).await;
        *mirror = link.ok().map(|link| ActiveMirror { from: primary, mirror: Mirror::run(link) });
        answer
    }

    /// Copies the remaining changes, and makes the other store the primary. No write runs meanwhile.
    async fn hand_over(&self, from: usize) -> Result<(Epoch, Position)> {
        let (old, new) = (&self.stores[from], &self.stores[1 - from]);
        let mut link = Link::open(old.clone(), new.clone()).await?;
        // Read before the old store becomes a replica. A process that makes the old store the primary again first raises the
        // epoch of this one; the last step, which expects the status read here, then fails.
        let followed = replication_status(new).await?.replication_state;
        link.drain().await?;
        let led = replication_status(old).await?.replication_state;
        if !led.is_primary() {
            let error = PersistError::new(ErrorKind::Stale, "another process switches the primary");
            return Err(error.with_effect(Effect::NotApplied));
        }
        set_replication_state(old, led, led.as_replica()).await?;
        // From here on no process can write to the old store.
        link.drain().await?;
        let next = new.on_replica(BeginCapture::FROM_NOW).await?.cursor;
        let equal = ApplyImages {
            epoch: led.epoch,
            from: None,
            to: next,
            images: Vec::new(),
            position: Position::ZERO,
            kept_after: Position::ZERO,
        };
        old.on_replica(equal).await?;
        let epoch = led.epoch.max(followed.epoch).next();
        set_replication_state(new, followed, ReplicationState { epoch, ..followed.promoted() }).await?;
        Ok((epoch, replication_status(new).await?.position))
    }

    /// Returns the outcome of a failed switchover according to the stores. If neither is a primary, the old one becomes the
    /// primary again.
    async fn go_back(&self, from: usize, error: PersistError) -> Result<Switched> {
        match found::settle_after(&self.stores, from).await {
            Ok(primary) if primary != from => {
                // The switchover succeeded, and only its answer was lost.
                self.primary.store(primary, SeqCst);
                let replication_status = replication_status(&self.stores[primary]).await?;
                Ok(Switched {
                    epoch: replication_status.replication_state.epoch,
                    position: replication_status.position,
                    held: Duration::ZERO,
                })
            }
            Ok(_) => Err(error.with_effect(Effect::NotApplied)),
            Err(_) => Err(error.with_effect(Effect::Unknown)),
        }
    }
}
