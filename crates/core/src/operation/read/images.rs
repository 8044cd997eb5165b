use serde::{Deserialize, Serialize};

use crate::{
    Position, Timestamp,
    message::{carries_nothing, carries_parts},
    operation::{
        Image,
        facts::{AnswerFacts, Facts, Split, StatesFacts},
        replica::NO_REPLICATION,
        replica::on_store,
    },
    replica::ImageCursor,
};

/// Reads row images of a store after a cursor: first a copy of all rows, then the rows that changed since, each in its current
/// state. The images belong to all tenants. A guard that separates tenants permits this read only to an operator of the whole
/// store.
///
/// # Errors
/// [`TooOld`](crate::ErrorKind::TooOld) if the capture of the cursor has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReadImages {
    /// The end of the previous read. The first read uses the answer of [`BeginCapture`](crate::operation::BeginCapture).
    pub after: ImageCursor,
    /// The most images to return: 1 to [`ReadImages::MAX_LIMIT`]. An answer with large images has fewer.
    pub limit: u32,
}

impl ReadImages {
    /// The most images of one call: 1000.
    pub const MAX_LIMIT: u32 = 1000;
    /// The bytes at which an answer ends, after the image that reaches them: 4 MiB. An image is never split. The image of a
    /// consumer has all of its quarantined changes, each with a reason of up to 4 KiB.
    pub const MAX_BYTES: usize = 4 << 20;

    /// Returns a read of the next `limit` images after `after`.
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
    /// The images, in the order in which a replica must apply them.
    pub images: Vec<Image>,
    /// The end of this read. The next call continues after it.
    pub cursor: ImageCursor,
    /// Whether there are more images now.
    pub more: bool,
    /// The last position of the store.
    pub position: Position,
    /// The last change that the store no longer keeps.
    pub kept_after: Position,
    /// The names of damaged rows, which are in no image.
    pub damaged: Vec<String>,
    /// The time of the read, by the clock of the store's pipeline.
    pub at: Timestamp,
}

carries_parts!(Images { images, cursor: _, more: _, position: _, kept_after: _, damaged: _, at: _ } => images);

/// Reads the replication status of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GetReplicationStatus {}

carries_nothing!(GetReplicationStatus {});

crate::operation::addresses_no_thread!(ReadImages, Images, GetReplicationStatus);

impl StatesFacts for ReadImages {
    fn facts(&self) -> Facts<'_> {
        Facts { split_by_thread: Split::Refused(NO_REPLICATION), ..on_store() }
    }
}

impl AnswerFacts for Images {}

impl StatesFacts for GetReplicationStatus {
    fn facts(&self) -> Facts<'_> {
        Facts { split_by_thread: Split::Refused(NO_REPLICATION), ..on_store() }
    }
}
