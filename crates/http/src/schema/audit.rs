//! The schemas of the audit log.

#![expect(dead_code, reason = "only schemas")]

use serde_json::Value;
use utoipa::ToSchema;

/// A page of the audit log.
#[derive(ToSchema)]
pub(crate) struct AuditPage {
    entries: Vec<AuditEntry>,
    /// The numbers of entries that the store cannot read.
    damaged: Vec<u64>,
    /// The number of the last examined entry: the cursor of the next page.
    reached: u64,
    /// Whether there are more entries in the direction of the page.
    more: bool,
    /// The number of entries that the store has written for all tenants.
    written: u64,
    /// The last position of the store.
    position: u64,
}

/// An entry of the audit log.
#[derive(ToSchema)]
pub(crate) struct AuditEntry {
    number: u64,
    /// The hash of the entry before it, as hexadecimal digits.
    previous: String,
    /// The hash of this entry, as hexadecimal digits.
    hash: String,
    record: AuditRecord,
    /// The number of items that the reader may not see.
    #[schema(required = false)]
    withheld: u64,
}

/// The record of a call.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct AuditRecord {
    /// An object with the name of the outcome as its only member.
    outcome: Value,
    /// Microseconds since 1970.
    at: i64,
    tenant: String,
    #[schema(nullable = false)]
    actor: Option<String>,
    #[schema(nullable = false)]
    call_site: Option<String>,
    call: String,
    #[schema(nullable = false)]
    key: Option<String>,
    #[schema(nullable = false)]
    content: Option<String>,
    items: Vec<AuditItem>,
    #[schema(required = false)]
    omitted: u64,
}

/// An operation of a call.
#[derive(ToSchema)]
pub(crate) struct AuditItem {
    operation: String,
    #[schema(nullable = false)]
    mode: Option<String>,
    #[schema(nullable = false)]
    thread: Option<String>,
    #[schema(required = false)]
    messages: Vec<String>,
    #[schema(nullable = false)]
    revision: Option<u64>,
    #[schema(nullable = false)]
    of: Option<String>,
}
