//! The entries of the audit log.

mod digest;
mod entry;
mod item;
mod record;
mod text;

pub(crate) use self::text::RecordText;
pub use self::{
    digest::AuditDigest,
    entry::AuditEntry,
    item::AuditItem,
    record::{AuditOutcome, AuditRecord},
};
