//! The rules of replication that every backend shares: replication roles, row images and captures.
//!
//! ```
//! use throughline_core::{ErrorKind, backend::replication_rules, replication::{ReplicationState, SetReplicationState}};
//!
//! let replica = ReplicationState::PRIMARY.as_replica();
//! let take = SetReplicationState::new(ReplicationState::PRIMARY, replica);
//! assert_eq!(replication_rules::set_replication_state(ReplicationState::PRIMARY, &take)?, Some(replica));
//! // The repeated call changes nothing.
//! assert_eq!(replication_rules::set_replication_state(replica, &take)?, None);
//! assert_eq!(replication_rules::expect_primary(replica).unwrap_err().kind(), ErrorKind::NotPrimary);
//! # Ok::<(), throughline_core::PersistError>(())
//! ```

use crate::{
    ErrorKind, PersistError, Position, Result,
    operation::{ApplyImages, SetReplicationState},
    replica::{CaptureId, ImageCursor, ReplicationState},
};

/// Refuses a write to a replica.
///
/// # Errors
/// `NotPrimary`.
pub fn expect_primary(replication_state: ReplicationState) -> Result<()> {
    if replication_state.is_primary() {
        return Ok(());
    }
    let detail = format!("the store is {replication_state}: send the write to the primary");
    Err(PersistError::new(ErrorKind::NotPrimary, detail))
}

/// Returns the new replication state of the store, or `None` if the store already has it.
///
/// # Errors
/// `Stale` if the present state is neither the expected nor the new one.
pub fn set_replication_state(
    present: ReplicationState,
    take: &SetReplicationState,
) -> Result<Option<ReplicationState>> {
    if present == take.to {
        return Ok(None);
    }
    if present == take.expected {
        return Ok(Some(take.to));
    }
    let detail = format!(
        "the replication state changed: the store is {present}, and the caller expected {}",
        take.expected
    );
    Err(PersistError::new(ErrorKind::Stale, detail))
}

/// The present replication facts of a store, for [`may_apply`].
#[derive(Debug, Clone, Copy)]
pub struct ReplicaFacts {
    /// The replication role and epoch of the store.
    pub replication_state: ReplicationState,
    /// The cursor up to which the store has applied row images.
    pub cursor: Option<ImageCursor>,
    /// Whether no write was ever applied to the store.
    pub is_empty: bool,
    /// The last position of its change feed.
    pub last_change: Position,
}

/// Whether the store has to apply these row images: `false` if it applied them before.
///
/// # Errors
/// `Stale` if the store is a primary, is in another epoch, or has applied images up to another cursor. `Conflict` if
/// a copy begins in a store that is not empty and that does not equal the primary.
pub fn may_apply(present: ReplicaFacts, apply: &ApplyImages) -> Result<bool> {
    let ReplicaFacts { replication_state, cursor, is_empty, last_change } = present;
    if replication_state.is_primary() || replication_state.epoch != apply.epoch {
        let detail = format!("the store is {replication_state}, and is no replica of epoch {}", apply.epoch);
        return Err(PersistError::new(ErrorKind::Stale, detail));
    }
    if cursor == Some(apply.to) {
        return Ok(false);
    }
    if cursor != apply.from {
        let detail = "the row images do not continue from the cursor of the replica: read its replication status again";
        return Err(PersistError::new(ErrorKind::Stale, detail));
    }
    let begins_equal = apply.images.is_empty() && last_change <= apply.to.changes;
    if cursor.is_none() && !is_empty && !begins_equal {
        let detail = "the new replica is not empty: start the copy with an empty store";
        return Err(PersistError::new(ErrorKind::Conflict, detail));
    }
    Ok(true)
}

/// Refuses a cursor that belongs to another capture than the present one.
///
/// # Errors
/// `TooOld`.
pub fn expect_capture(present: Option<CaptureId>, cursor: ImageCursor) -> Result<()> {
    if present == Some(cursor.capture) {
        return Ok(());
    }
    let detail = "the store has ended the capture of this cursor: start a new copy";
    Err(PersistError::new(ErrorKind::TooOld, detail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Revision,
        message::AuditNumber,
        operation::{GoneImage, Image, ImagePart},
        replica::Epoch,
    };

    fn cursor(row: u64) -> ImageCursor {
        let capture = CaptureId::new(1);
        ImageCursor {
            capture,
            part: 1,
            row,
            touched: 0,
            changes: Position::new(10),
            audit: AuditNumber::ZERO,
        }
    }

    /// A replica of the first epoch with the cursor at the first row.
    fn present() -> ReplicaFacts {
        let replication_state = ReplicationState::PRIMARY.as_replica();
        ReplicaFacts {
            replication_state,
            cursor: Some(cursor(1)),
            is_empty: false,
            last_change: Position::new(10),
        }
    }

    /// Row images from the first to the second row.
    fn apply() -> ApplyImages {
        ApplyImages {
            epoch: ReplicationState::PRIMARY.epoch,
            from: Some(cursor(1)),
            to: cursor(2),
            images: vec![gone()],
            position: Position::ZERO,
            kept_after: Position::ZERO,
        }
    }

    fn gone() -> Image {
        let (thread, id) = ("t".parse().unwrap(), "m".parse().unwrap());
        let gone = GoneImage { thread, id, revision: Revision::FIRST, left: None };
        Image::new(crate::TenantId::default(), ImagePart::Gone(gone))
    }

    fn answer(present: ReplicaFacts, apply: &ApplyImages) -> std::result::Result<bool, ErrorKind> {
        may_apply(present, apply).map_err(|error| error.kind())
    }

    #[test]
    fn row_images_continue_from_the_cursor_and_apply_once() {
        assert_eq!(answer(present(), &apply()), Ok(true));
        let applied = ReplicaFacts { cursor: Some(cursor(2)), ..present() };
        assert_eq!(answer(applied, &apply()), Ok(false), "the images were applied before");
        for elsewhere in [None, Some(cursor(0)), Some(cursor(3))] {
            let present = ReplicaFacts { cursor: elsewhere, ..present() };
            assert_eq!(answer(present, &apply()), Err(ErrorKind::Stale), "{elsewhere:?}");
        }
    }

    #[test]
    fn a_primary_and_a_replica_of_another_epoch_refuse_row_images() {
        let primary = ReplicaFacts { replication_state: ReplicationState::PRIMARY, ..present() };
        assert_eq!(answer(primary, &apply()), Err(ErrorKind::Stale));
        let later = ApplyImages { epoch: ReplicationState::PRIMARY.epoch.next(), ..apply() };
        assert_eq!(answer(present(), &later), Err(ErrorKind::Stale));
        // Even images that were applied before are refused: they came from another epoch.
        let applied = ReplicaFacts { cursor: Some(cursor(2)), ..present() };
        assert_eq!(answer(applied, &later), Err(ErrorKind::Stale));
    }

    #[test]
    fn a_copy_begins_in_an_empty_or_equal_store() {
        let begin = ApplyImages { from: None, ..apply() };
        let full = ReplicaFacts { cursor: None, ..present() };
        assert_eq!(answer(full, &begin), Err(ErrorKind::Conflict));
        assert_eq!(answer(ReplicaFacts { is_empty: true, ..full }, &begin), Ok(true));
        let equal = ApplyImages { images: Vec::new(), ..begin };
        assert_eq!(answer(full, &equal), Ok(true));
        // The replica has a change that the primary does not have.
        let ahead = ReplicaFacts { last_change: Position::new(11), ..full };
        assert_eq!(answer(ahead, &equal), Err(ErrorKind::Conflict));
    }

    #[test]
    fn a_replication_state_changes_from_the_expected_one_and_once() {
        let (primary, replica) = (ReplicationState::PRIMARY, ReplicationState::PRIMARY.as_replica());
        let take = SetReplicationState::new(primary, replica);
        assert_eq!(set_replication_state(primary, &take).unwrap(), Some(replica));
        assert_eq!(set_replication_state(replica, &take).unwrap(), None);
        let other = ReplicationState { epoch: Epoch::new(7), ..primary };
        assert_eq!(set_replication_state(other, &take).unwrap_err().kind(), ErrorKind::Stale);
        assert!(expect_primary(primary).is_ok());
        assert_eq!(expect_primary(replica).unwrap_err().kind(), ErrorKind::NotPrimary);
    }

    #[test]
    fn a_cursor_of_another_capture_is_too_old() {
        assert!(expect_capture(Some(CaptureId::new(1)), cursor(1)).is_ok());
        for present in [None, Some(CaptureId::new(2))] {
            assert_eq!(expect_capture(present, cursor(1)).unwrap_err().kind(), ErrorKind::TooOld);
        }
    }
}
