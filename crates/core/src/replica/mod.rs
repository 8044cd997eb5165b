//! The cursor of a copy, and which of two stores is the primary.

mod cursor;
mod standing;

pub use self::{
    cursor::{CaptureId, ImageCursor},
    standing::{Epoch, Role, Stance, Standing},
};
