//! REL-36: the audit log. Verification detects every change that was made without the key, and no crash separates a write from
//! its audit record.

mod attacks;
mod crash;
mod random_edits;

use std::path::Path;

use throughline_core::{
    Persistence,
    audit::{AuditEntry, AuditFrom, AuditNumber, ReadAudit},
    changes::ChangeScope,
    messages::ReadPage,
};
use throughline_layers::audit::AuditLayer;
use throughline_reliability::worker::audit_key;
use throughline_sqlite::SqliteBackend;

/// The store at `path`, with its log.
async fn open(path: &Path) -> Persistence {
    let backend = SqliteBackend::open(path).await.expect("the store opens");
    let stack = Persistence::builder().layer(AuditLayer::new(audit_key())).backend(backend);
    stack.build().expect("the pipeline is built")
}

/// Every entry, in the order of the log.
async fn entries(db: &Persistence) -> Vec<AuditEntry> {
    let mut found = Vec::new();
    let from = AuditFrom::After(AuditNumber::ZERO);
    let mut read = Some(ReadAudit::new(ChangeScope::Store, from, ReadPage::MAX_LIMIT));
    while let Some(asked) = read {
        let page = db.read(asked.clone()).await.expect("a page of the log");
        read = asked.next(&page);
        found.extend(page.entries);
    }
    found
}
