//! Replication: the dirty set, row images of a primary, and their application on a replica.
//!
//! Each replication operation is a transaction of its own, run by a separate writer. It holds the row of the store
//! from its beginning.

mod capture;
mod copier;
mod image;
mod key;
mod part;
mod put;
mod read;
mod state;

pub(crate) use self::{
    capture::record,
    copier::{Replicated, prepare},
    key::Key,
    part::Part,
    read::{images, status},
    state::{Followed, State, capture, link, replication_state},
};
