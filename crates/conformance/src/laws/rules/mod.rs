//! The laws, a file for each topic.

pub(super) mod cancel;
pub(super) mod content;
pub(super) mod failure;
pub(super) mod passage;
pub(super) mod read;
pub(super) mod repeat;
pub(super) mod search;
pub(super) mod stream;
