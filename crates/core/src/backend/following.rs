//! What a store that can follow another one decides, made once for every backend.
//!
//! ```
//! use throughline_core::{ErrorKind, backend::following, replication::{ReplicationState, SetReplicationState}};
//!
//! let follower = ReplicationState::PRIMARY.as_replica();
//! let take = SetReplicationState::new(ReplicationState::PRIMARY, follower);
//! assert_eq!(following::set_replication_state(ReplicationState::PRIMARY, &take)?, Some(follower));
//! // Made again, it has been done.
//! assert_eq!(following::set_replication_state(follower, &take)?, None);
//! assert_eq!(following::expect_primary(follower).unwrap_err().kind(), ErrorKind::NotPrimary);
//! # Ok::<(), throughline_core::PersistError>(())
//! ```

use crate::{
    ErrorKind, PersistError, Position, Result,
    operation::{ApplyImages, SetReplicationState},
    replica::{CaptureId, ImageCursor, ReplicationState},
};

/// Refuses a write to a store that follows another one.
///
/// # Errors
/// `Following`.
pub fn expect_primary(replication_state: ReplicationState) -> Result<()> {
    if replication_state.is_primary() {
        return Ok(());
    }
    let detail = format!("the store is {replication_state}: another one takes the writes");
    Err(PersistError::new(ErrorKind::NotPrimary, detail))
}

/// What a store is to be; nothing where it is that already.
///
/// # Errors
/// `Stale` when it is something else than was expected.
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
    let detail = format!("the store is {present}, and not {}", take.expected);
    Err(PersistError::new(ErrorKind::Stale, detail))
}

/// What a store has, for [`may_apply`].
#[derive(Debug, Clone, Copy)]
pub struct Present {
    /// What it is.
    pub replication_state: ReplicationState,
    /// How far it has followed.
    pub cursor: Option<ImageCursor>,
    /// Whether anything was ever written to it.
    pub is_empty: bool,
    /// The last change that it tells.
    pub last_change: Position,
}

/// Whether images are to be put in their content_fields; not where that was done already.
///
/// # Errors
/// `Stale` where the store leads, is in another epoch, or has followed to another place. `Conflict` where a copy begins in a store with
/// something in it, or with changes that the other one has not.
pub fn may_apply(present: Present, apply: &ApplyImages) -> Result<bool> {
    let Present { replication_state, cursor, is_empty, last_change } = present;
    if replication_state.is_primary() || replication_state.epoch != apply.epoch {
        let detail =
            format!("the store is {replication_state}, and does not follow in epoch {}", apply.epoch);
        return Err(PersistError::new(ErrorKind::Stale, detail));
    }
    if cursor == Some(apply.to) {
        return Ok(false);
    }
    if cursor != apply.from {
        let detail = "the store has followed to another place than these images go on from";
        return Err(PersistError::new(ErrorKind::Stale, detail));
    }
    let begins_equal = apply.images.is_empty() && last_change <= apply.to.changes;
    if cursor.is_none() && !is_empty && !begins_equal {
        let detail = "the store that is to follow has something in it already";
        return Err(PersistError::new(ErrorKind::Conflict, detail));
    }
    Ok(true)
}

/// Refuses a cursor of another capture than the present one.
///
/// # Errors
/// `TooOld`.
pub fn expect_capture(present: Option<CaptureId>, cursor: ImageCursor) -> Result<()> {
    if present == Some(cursor.capture) {
        return Ok(());
    }
    let detail =
        "what was changed in the store is not noted any more since the cursor: the copy has to be made anew";
    Err(PersistError::new(ErrorKind::TooOld, detail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
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

    /// A follower of the first epoch that has come to the first row.
    fn present() -> Present {
        let replication_state = ReplicationState::PRIMARY.as_replica();
        Present {
            replication_state,
            cursor: Some(cursor(1)),
            is_empty: false,
            last_change: Position::new(10),
        }
    }

    /// What brings it to the second.
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
        let gone = GoneImage { thread: "t".parse().unwrap(), id: "m".parse().unwrap(), left: None };
        Image::new(crate::TenantId::default(), ImagePart::Gone(gone))
    }

    fn answer(present: Present, apply: &ApplyImages) -> std::result::Result<bool, ErrorKind> {
        may_apply(present, apply).map_err(|error| error.kind())
    }

    #[test]
    fn a_page_goes_on_from_where_the_follower_is_and_is_put_once() {
        assert_eq!(answer(present(), &apply()), Ok(true));
        let behind = Present { cursor: Some(cursor(2)), ..present() };
        assert_eq!(answer(behind, &apply()), Ok(false), "it was put before");
        for elsewhere in [None, Some(cursor(0)), Some(cursor(3))] {
            let present = Present { cursor: elsewhere, ..present() };
            assert_eq!(answer(present, &apply()), Err(ErrorKind::Stale), "{elsewhere:?}");
        }
    }

    #[test]
    fn a_store_that_leads_or_follows_in_another_epoch_takes_nothing() {
        let is_primary = Present { replication_state: ReplicationState::PRIMARY, ..present() };
        assert_eq!(answer(is_primary, &apply()), Err(ErrorKind::Stale));
        let later = ApplyImages { epoch: ReplicationState::PRIMARY.epoch.next(), ..apply() };
        assert_eq!(answer(present(), &later), Err(ErrorKind::Stale));
        // Even what was put before: it was put for somebody else.
        let put = Present { cursor: Some(cursor(2)), ..present() };
        assert_eq!(answer(put, &later), Err(ErrorKind::Stale));
    }

    #[test]
    fn a_copy_begins_in_an_empty_store_or_in_one_that_is_equal() {
        let begin = ApplyImages { from: None, ..apply() };
        let full = Present { cursor: None, ..present() };
        assert_eq!(answer(full, &begin), Err(ErrorKind::Conflict));
        assert_eq!(answer(Present { is_empty: true, ..full }, &begin), Ok(true));
        let equal = ApplyImages { images: Vec::new(), ..begin };
        assert_eq!(answer(full, &equal), Ok(true));
        // It has told of a change that the other one has not.
        let ahead = Present { last_change: Position::new(11), ..full };
        assert_eq!(answer(ahead, &equal), Err(ErrorKind::Conflict));
    }

    #[test]
    fn a_stance_is_taken_from_the_one_that_was_expected_and_once() {
        let (is_primary, follows) = (ReplicationState::PRIMARY, ReplicationState::PRIMARY.as_replica());
        let take = SetReplicationState::new(is_primary, follows);
        assert_eq!(set_replication_state(is_primary, &take).unwrap(), Some(follows));
        assert_eq!(set_replication_state(follows, &take).unwrap(), None);
        let other = ReplicationState { epoch: Epoch::new(7), ..is_primary };
        assert_eq!(set_replication_state(other, &take).unwrap_err().kind(), ErrorKind::Stale);
        assert!(expect_primary(is_primary).is_ok());
        assert_eq!(expect_primary(follows).unwrap_err().kind(), ErrorKind::NotPrimary);
    }

    #[test]
    fn a_cursor_of_another_capture_is_too_old() {
        assert!(expect_capture(Some(CaptureId::new(1)), cursor(1)).is_ok());
        for present in [None, Some(CaptureId::new(2))] {
            assert_eq!(expect_capture(present, cursor(1)).unwrap_err().kind(), ErrorKind::TooOld);
        }
    }
}
