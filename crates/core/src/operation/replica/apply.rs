use serde::{Deserialize, Serialize};

use crate::{
    Position,
    message::{carries_nothing, carries_parts},
    operation::{
        Image,
        facts::{AnswerFacts, Facts, StatesFacts},
        replica::on_store,
    },
    replica::{Epoch, ImageCursor},
};

/// Applies row images of a primary over the rows of this replica, and records the cursor of the copy in the same transaction.
///
/// If the cursor is already `to`, nothing changes and the call succeeds, so that a repeated call is safe. Images are therefore
/// applied in order and once each, and an older image never replaces a newer row.
///
/// The first call of a copy has no `from`, and needs an empty store. A first call without images only records that the replica
/// equals the primary at `to`.
///
/// # Errors
/// - [`Stale`](crate::ErrorKind::Stale) if the store is a primary, has another epoch, or has another cursor than `from`.
/// - [`Conflict`](crate::ErrorKind::Conflict) if the first call of a copy does not meet the conditions above.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApplyImages {
    /// The epoch of the replica.
    pub epoch: Epoch,
    /// The required cursor of the copy before the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<ImageCursor>,
    /// The cursor of the copy after the call.
    pub to: ImageCursor,
    /// The images, in the order of the read: at most [`ReadImages::MAX_LIMIT`](crate::operation::ReadImages::MAX_LIMIT).
    pub images: Vec<Image>,
    /// The last position of the primary, if the copy has all changes up to it; otherwise zero.
    #[serde(default)]
    pub position: Position,
    /// The last change that the primary no longer keeps.
    #[serde(default)]
    pub kept_after: Position,
}

carries_parts!(ApplyImages { epoch: _, from: _, to: _, images, position: _, kept_after: _ } => images);

/// The answer to [`ApplyImages`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImagesApplied {
    /// The cursor of the copy.
    pub cursor: ImageCursor,
    /// Whether an earlier call had applied the images.
    pub already: bool,
}

carries_nothing!(ImagesApplied { cursor: _, already: _ });

crate::operation::addresses_no_thread!(ApplyImages, ImagesApplied);

impl StatesFacts for ApplyImages {
    fn facts(&self) -> Facts<'_> {
        Facts { grows: true, ..on_store() }
    }

    fn byte_len(&self) -> Option<usize> {
        Some(self.images.iter().map(Image::estimated_size).sum())
    }
}

impl AnswerFacts for ImagesApplied {}
