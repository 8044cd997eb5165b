//! Exact copies of a store: what is carried from one that leads to one that follows, and how far it has come.
//!
//! A store [leads](Role::Leading) unless it was told to follow. One that [follows](Role::Following) takes nothing but images from
//! the store that it follows, and refuses every other write as [`Following`](crate::ErrorKind::Following), so that no two stores
//! can take writes side by side. Each change of who leads raises the [`Epoch`].
//!
//! ```
//! use throughline_core::replica::{Epoch, Role, Stance};
//!
//! let fresh = Stance::LEADING;
//! assert_eq!((fresh.role, fresh.epoch), (Role::Leading, Epoch::ZERO));
//! assert_eq!(fresh.following().role, Role::Following);
//! assert_eq!(fresh.following().leading_next().epoch, Epoch::FIRST);
//! ```
//!
//! The operations are [`BeginCapture`](crate::BeginCapture), [`ApplyImages`](crate::ApplyImages) and [`TakeStance`](crate::TakeStance), the
//! reads [`ReadImages`](crate::ReadImages) and [`GetStanding`](crate::GetStanding). What a host calls is in `mirror`.

mod cursor;
mod image;
pub(crate) mod numbers;
mod standing;

pub use self::{
    cursor::{CaptureId, ImageCursor},
    image::{
        ConsumerImage, GoneImage, Image, ImagePart, KeyImage, NameImage, SessionImage, SessionPart,
        ThreadImage,
    },
    standing::{Epoch, Role, Stance, Standing},
};
