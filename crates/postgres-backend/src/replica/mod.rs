//! Exact copies: what is touched is noted, answered as images, and images are put in their places.
//!
//! Everything that is done about copies is a transaction by itself, by a writer of its own, that holds the row of the store from its
//! beginning on.

mod capture;
mod copier;
mod image;
mod key;
mod part;
mod put;
mod read;
mod state;

pub(crate) use self::{
    capture::note,
    copier::{Replicated, prepare},
    key::Key,
    part::Part,
    read::{images, standing},
    state::{Followed, State, capture, link, replication_state},
};
