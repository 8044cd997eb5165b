//! A primary and its replica: copies one page after the other.

use throughline_core::{
    ErrorKind, PersistError, Persistence, Position, Result,
    redirect::Upstream,
    replication::{
        ApplyImages, BeginCapture, Epoch, GetReplicationStatus, ImageCursor, Images, ReadImages,
        ReplicationState, ReplicationStatus, SetReplicationState,
    },
};

/// The number of row images of a page.
const PAGE: u32 = 500;

/// Reads the replication status of a store.
pub(super) async fn replication_status(db: &Persistence) -> Result<ReplicationStatus> {
    db.read(GetReplicationStatus {}).await
}

/// Changes the replication role of a store. If the outcome is unknown, it repeats the call, which is idempotent.
pub(super) async fn set_replication_state(
    db: &Persistence,
    expected: ReplicationState,
    to: ReplicationState,
) -> Result<()> {
    take(db, SetReplicationState::new(expected, to)).await
}

async fn take(db: &Persistence, replication_state: SetReplicationState) -> Result<()> {
    let take = || db.on_replica(replication_state);
    match take().await {
        Err(error) if error.effect() == throughline_core::Effect::Unknown => take().await.map(drop),
        answer => answer.map(drop),
    }
}

/// A primary and its replica.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) from: Persistence,
    pub(super) to: Persistence,
    epoch: Epoch,
    /// The progress of the replica, and the cursor of the next page.
    done: Option<ImageCursor>,
    next: ImageCursor,
}

/// The result of a page.
pub(super) struct Step {
    pub(super) images: u64,
    pub(super) damaged: Vec<String>,
    pub(super) position: Position,
    pub(super) carried: Position,
    pub(super) more: bool,
}

impl Link {
    /// Makes the second store a replica of the first, if it is not one yet, and reads its progress.
    pub(super) async fn open(from: Persistence, to: Persistence) -> Result<Self> {
        let (here, mut there) = (replication_status(&from).await?, replication_status(&to).await?);
        let key = Upstream::new(&from).fingerprint_key();
        if there.replication_state.is_primary() {
            if !there.is_empty {
                let detail = "the store that is to be the replica is a primary, and is not empty";
                return Err(PersistError::new(ErrorKind::Conflict, detail));
            }
            let epoch = here.replication_state.epoch.max(there.replication_state.epoch);
            let follow = SetReplicationState::new(
                there.replication_state,
                ReplicationState { epoch, ..there.replication_state }.as_replica(),
            );
            take(&to, follow.with_fingerprint_key(key)).await?;
            there = replication_status(&to).await?;
        } else if key.is_some() && key != Upstream::new(&to).fingerprint_key() {
            // The mirror stopped before the replica had the key, or another program made the store a replica.
            let follow = SetReplicationState::new(there.replication_state, there.replication_state);
            take(&to, follow.with_fingerprint_key(key)).await?;
        }
        let next = match there.cursor {
            Some(cursor) => cursor,
            None => from.on_replica(BeginCapture::WHOLE).await?.cursor,
        };
        Ok(Self { from, to, epoch: there.replication_state.epoch, done: there.cursor, next })
    }

    /// Reads the progress of the replica again.
    pub(super) async fn find(&mut self) -> Result<()> {
        let there = replication_status(&self.to).await?;
        self.epoch = there.replication_state.epoch;
        if there.cursor.is_some() {
            self.done = there.cursor;
            self.next = there.cursor.unwrap_or(self.next);
        }
        Ok(())
    }

    /// Copies one page.
    pub(super) async fn step(&mut self) -> Result<Step> {
        let page = self.from.read(ReadImages::new(self.next, PAGE)).await?;
        let Images { images, cursor, more, position, kept_after, damaged, at: _ } = page;
        let count = images.len() as u64;
        if Some(cursor) != self.done {
            let apply = ApplyImages {
                epoch: self.epoch,
                from: self.done,
                to: cursor,
                images,
                position: if more { Position::ZERO } else { position },
                kept_after,
            };
            self.to.on_replica(apply).await?;
            (self.done, self.next) = (Some(cursor), cursor);
        }
        let carried = if more { cursor.changes } else { position };
        Ok(Step { images: count, damaged, position, carried, more })
    }

    /// Copies all pages, even while another process copies into the same store.
    pub(super) async fn drain(&mut self) -> Result<()> {
        loop {
            let (epoch, done) = (self.epoch, self.done);
            match self.step().await {
                Ok(Step { more: false, .. }) => return Ok(()),
                Ok(_) => {}
                // The progress of the replica shows whether it has applied the page.
                Err(error) if error.effect() != throughline_core::Effect::NotApplied => self.find().await?,
                Err(error) if error.kind() == ErrorKind::Stale => {
                    self.find().await?;
                    // Another process has applied the page. In another epoch this link must stop.
                    if self.epoch != epoch || self.done == done {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }
}
