//! The change feed.

pub(super) mod consumer;
pub(super) mod emitted;
pub(super) mod feed;
pub(super) mod read;
pub(super) mod scope;
