//! Moments: for people and for leases, never for order.

pub(super) mod lease;
pub(super) mod stamps;
