//! An entry of the audit log, and what it is made of.

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
