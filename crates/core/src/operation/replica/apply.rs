use serde::{Deserialize, Serialize};

use crate::{
    Position,
    message::{carries_nothing, carries_parts},
    operation::Image,
    replica::{Epoch, ImageCursor},
};

/// Puts images of the store that is followed in their content fields, over what is there, and takes down how far that was: all in one commit.
///
/// It is refused as [`Stale`](crate::ErrorKind::Stale) by a store that leads, that is in another epoch, or that has followed to another
/// place than `from`. Where it has come to `to` already nothing is done: a call that was made twice has done what it should. So
/// images come in their order and each once, and what is older than what is there changes nothing.
///
/// Where nothing was followed yet, `from` is none, and the store has to be empty; or there are no images, and it takes down only
/// that it is equal to the other as of `to`: it is refused as [`Conflict`](crate::ErrorKind::Conflict) otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApplyImages {
    /// The epoch of the follower.
    pub epoch: Epoch,
    /// How far it has followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<ImageCursor>,
    /// How far it has then.
    pub to: ImageCursor,
    /// The images, in the order of the read: at most [`ReadImages::MAX_LIMIT`](crate::operation::ReadImages::MAX_LIMIT).
    pub images: Vec<Image>,
    /// The position that the other store had come to, where everything up to it is carried; otherwise zero.
    #[serde(default)]
    pub position: Position,
    /// The last change that the other does not keep any more.
    #[serde(default)]
    pub kept_after: Position,
}

carries_parts!(ApplyImages, self => {
    let Self { epoch: _, from: _, to: _, images, position: _, kept_after: _ } = self;
    images
}, {
    let Self { epoch: _, from: _, to: _, images, position: _, kept_after: _ } = self;
    images
});

/// The answer to [`ApplyImages`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImagesApplied {
    /// How far the store has followed.
    pub cursor: ImageCursor,
    /// Whether it had been done before.
    pub already: bool,
}

carries_nothing!(ImagesApplied { cursor: _, already: _ });
