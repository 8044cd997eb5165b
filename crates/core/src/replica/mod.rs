//! The cursor of a copy, and the replication role of a store.

mod cursor;
mod status;

pub use self::{
    cursor::{CaptureId, ImageCursor},
    status::{Epoch, ReplicationRole, ReplicationState, ReplicationStatus},
};
