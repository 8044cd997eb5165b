//! The backend at the end of real stacks.

pub(super) mod cancel;
pub(super) mod close;
pub(super) mod contract;
pub(super) mod deadline;
pub(super) mod draft;
pub(super) mod failure;
pub(super) mod observe;
pub(super) mod order;
pub(super) mod redirect;
pub(super) mod retry;
pub(super) mod same;
