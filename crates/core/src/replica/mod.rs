//! The cursor of a copy, and which of two stores is the primary.

mod cursor;
mod status;

pub use self::{
    cursor::{CaptureId, ImageCursor},
    status::{Epoch, ReplicationRole, ReplicationState, ReplicationStatus},
};
