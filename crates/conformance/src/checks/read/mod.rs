//! The reads.

pub(super) mod bytes;
pub(super) mod content;
pub(super) mod find;
pub(super) mod get;
pub(super) mod open;
pub(super) mod page;
pub(super) mod search;
pub(super) mod visibility;
