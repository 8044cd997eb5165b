//! Operations on whole threads: catalog, fork, import, clear, delete, prune and purge.

pub(super) mod catalog;
pub(super) mod clear;
pub(super) mod concurrent;
pub(super) mod create;
pub(super) mod created;
pub(super) mod delete;
pub(super) mod fork;
pub(super) mod import;
pub(super) mod label;
pub(super) mod list;
pub(super) mod prune;
pub(super) mod purge;
pub(super) mod rebuild;
pub(super) mod rename;
pub(super) mod resolve;
pub(super) mod reuse;
pub(super) mod scenario;
pub(super) mod summary;
pub(super) mod tenants;
pub(super) mod turn;
pub(super) mod unknown;
