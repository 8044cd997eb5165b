//! The guard of Linux, by locks of open file descriptions.

mod checkpoint;
mod closing;
mod descriptor;
mod files;
mod guard;
mod index;
mod length;
mod lock;
mod lost_copies;
mod opening;
mod read_marks;
mod registry;
mod scan;
mod waiting;
mod watch;

use super::Identity;

pub(crate) use self::{
    checkpoint::CheckpointLock,
    guard::{FileGuard, WriteLock},
    read_marks::MaintenanceRead,
    registry::{close_inherited, is_inherited, while_none_is_closed},
    scan::{is_unreadable, unreadable},
};
#[cfg(test)]
pub(crate) use self::{
    guard::lock_as_another_process,
    scan::{remember_readable, remember_unreadable, scanned_at},
    waiting::is_awaited,
};
