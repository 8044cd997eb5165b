//! What is told of changes.

pub(super) mod consumer;
pub(super) mod feed;
pub(super) mod read;
pub(super) mod scope;
pub(super) mod told;
