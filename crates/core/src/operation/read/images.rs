use serde::{Deserialize, Serialize};

use crate::{
    Position, Timestamp,
    message::{carries_nothing, carries_parts},
    operation::Image,
    replica::ImageCursor,
};

/// Reads what a store keeps as images, from a cursor on: first all that is there, then what was touched since, each as it is now.
/// Of every tenant: a guard that keeps tenants apart refuses it to everybody but who serves the store as a whole.
///
/// It is refused as [`TooOld`](crate::ErrorKind::TooOld) with a cursor of a capture that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReadImages {
    /// How far was read: at first what [`BeginCapture`](crate::operation::BeginCapture) answers.
    pub after: ImageCursor,
    /// How many at most: 1 to [`ReadImages::MAX_LIMIT`]. There may be fewer where they are large.
    pub limit: u32,
}

impl ReadImages {
    /// The most images of one call.
    pub const MAX_LIMIT: u32 = 1000;
    /// At so many bytes an answer ends, with the image that reaches them. An image is never divided: that of a consumer holds all changes that
    /// it has quarantined, each with a reason of up to 4 KiB.
    pub const MAX_BYTES: usize = 4 << 20;

    /// The next `limit` images after `after`.
    #[must_use]
    pub const fn new(after: ImageCursor, limit: u32) -> Self {
        Self { after, limit }
    }
}

carries_nothing!(ReadImages { after: _, limit: _ });

/// The answer to [`ReadImages`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Images {
    /// The images, in the order in which they are to be applied.
    pub images: Vec<Image>,
    /// How far was read: the next call goes on after it.
    pub cursor: ImageCursor,
    /// Whether there are more to read now.
    pub more: bool,
    /// The position that the store had come to.
    pub position: Position,
    /// The last change that it does not keep any more.
    pub kept_after: Position,
    /// What it holds and cannot be read, by name; it is in no image.
    pub damaged: Vec<String>,
    /// The moment of the read, by the clock of the store's pipeline.
    pub at: Timestamp,
}

carries_parts!(Images, self => {
    let Self { images, cursor: _, more: _, position: _, kept_after: _, damaged: _, at: _ } = self;
    images
}, {
    let Self { images, cursor: _, more: _, position: _, kept_after: _, damaged: _, at: _ } = self;
    images
});

/// Reads how a store stands to the one beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GetReplicationStatus {}

carries_nothing!(GetReplicationStatus {});
