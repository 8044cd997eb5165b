//! The entries of the audit log.

mod digest;
mod entry;
mod item;
mod record;

pub use self::{
    digest::AuditDigest,
    entry::AuditEntry,
    item::AuditItem,
    record::{AuditOutcome, AuditRecord},
};
