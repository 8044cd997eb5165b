//! The writes.

pub(super) mod absent;
pub(super) mod add;
pub(super) mod batch;
pub(super) mod content;
pub(super) mod delete;
pub(super) mod key;
pub(super) mod large;
pub(super) mod last;
pub(super) mod replay;
pub(super) mod reserve;
pub(super) mod transition;
pub(super) mod update;
