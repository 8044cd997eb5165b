//! Durability of acknowledged writes, and stores that several processes have open.

pub(super) mod crash;
pub(super) mod kept;
pub(super) mod processes;
pub(super) mod reopen;
