//! The audit log.

pub(super) mod entries;
pub(super) mod read;

use throughline_core::{
    Persistence,
    audit::{AuditEntry, AuditFrom, AuditNumber, AuditOutcome, ReadAudit},
    changes::ChangeScope,
};
use throughline_layers::audit::{AuditKey, AuditLayer};

use crate::rig::Rig;

/// The key of every check.
pub(super) fn key() -> AuditKey {
    AuditKey::new(&[36; 32])
}

/// The store, with a log.
pub(super) async fn audited(rig: &Rig) -> Persistence {
    let stack = rig.builder().layer(AuditLayer::new(key())).backend(rig.open().await);
    stack.build().expect("it claims to keep a log")
}

/// Every entry that this scope shows, from the first on, a page at a time.
pub(super) async fn entries(db: &Persistence, scope: ChangeScope) -> Vec<AuditEntry> {
    let mut found = Vec::new();
    let mut read = Some(ReadAudit::new(scope, AuditFrom::After(AuditNumber::ZERO), 7));
    while let Some(asked) = read {
        let page = db.read(asked.clone()).await.expect("a page of the log");
        assert_eq!(page.damaged, []);
        read = asked.next(&page);
        found.extend(page.entries);
    }
    found
}

/// The entries of what was applied.
async fn applied(db: &Persistence) -> Vec<AuditEntry> {
    let mut found = entries(db, ChangeScope::Store).await;
    found.retain(|entry| matches!(entry.record.outcome, AuditOutcome::Applied { .. }));
    found
}

/// The subject of an audit record: its operations, each with its thread and its messages.
fn about(entry: &AuditEntry) -> Vec<String> {
    let item = |item: &throughline_core::audit::AuditItem| {
        let thread = item.thread.as_ref().map_or("-", |thread| thread.as_str());
        let messages: Vec<&str> = item.messages.iter().map(throughline_core::MessageId::as_str).collect();
        format!("{} {thread} {}", item.operation, messages.join(","))
    };
    entry.record.items.iter().map(item).collect()
}
