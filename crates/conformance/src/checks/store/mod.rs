//! Isolation, integrity and order of a store.

pub(super) mod key;
pub(super) mod order;
pub(super) mod scope;
pub(super) mod text;
