//! What a store keeps apart, keeps whole and keeps in order.

pub(super) mod key;
pub(super) mod order;
pub(super) mod scope;
pub(super) mod text;
