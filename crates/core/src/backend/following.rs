//! What a store that can follow another one decides, made once for every backend.
//!
//! ```
//! use throughline_core::{ErrorKind, TakeStance, backend::following, replica::Stance};
//!
//! let follower = Stance::LEADING.following();
//! let take = TakeStance::new(Stance::LEADING, follower);
//! assert_eq!(following::take_stance(Stance::LEADING, &take)?, Some(follower));
//! // Made again, it has been done.
//! assert_eq!(following::take_stance(follower, &take)?, None);
//! assert_eq!(following::expect_leading(follower).unwrap_err().kind(), ErrorKind::Following);
//! # Ok::<(), throughline_core::PersistError>(())
//! ```

use crate::{
    ApplyImages, ErrorKind, PersistError, Position, Result, TakeStance,
    replica::{CaptureId, ImageCursor, Stance},
};

/// Refuses a write to a store that follows another one.
///
/// # Errors
/// `Following`.
pub fn expect_leading(stance: Stance) -> Result<()> {
    if stance.leads() {
        return Ok(());
    }
    let detail = format!("the store is {stance}: another one takes the writes");
    Err(PersistError::new(ErrorKind::Following, detail))
}

/// What a store is to be; nothing where it is that already.
///
/// # Errors
/// `Stale` when it is something else than was expected.
pub fn take_stance(present: Stance, take: &TakeStance) -> Result<Option<Stance>> {
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
    pub stance: Stance,
    /// How far it has followed.
    pub cursor: Option<ImageCursor>,
    /// Whether anything was ever written to it.
    pub is_empty: bool,
    /// The last change that it tells.
    pub last_change: Position,
}

/// Whether images are to be put in their places; not where that was done already.
///
/// # Errors
/// `Stale` where the store leads, is in another epoch, or has followed to another place. `Conflict` where a copy begins in a store with
/// something in it, or with changes that the other one has not.
pub fn may_apply(present: Present, apply: &ApplyImages) -> Result<bool> {
    let Present { stance, cursor, is_empty, last_change } = present;
    if stance.leads() || stance.epoch != apply.epoch {
        let detail = format!("the store is {stance}, and does not follow in epoch {}", apply.epoch);
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
