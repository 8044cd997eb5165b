//! Replication of the audit log.

use throughline_core::{Persistence, changes::ChangeScope};
use throughline_layers::audit::{AuditLayer, anchor, verify};

use super::{copy, demote, promote};
use crate::{
    check::checks,
    checks::audit::{audited, entries, key},
    rig::Rig,
    shorthand::{id, refused, said},
};

checks! {
    Extended "replication.audit_log_is_copied" [Replica Add Delete Read; audit changes] "a replica has every audit entry of the primary, and its chain continues on the new primary" => log;
}

/// Adds a message and takes it back, and tries what is refused.
async fn work(db: &Persistence, name: &str) {
    let thread = db.with_actor("alice").thread("t");
    thread.add(said(name, "x")).await.unwrap();
    thread.delete(id(name)).await.unwrap();
    thread.delete(id(name)).await.unwrap_err();
    db.write_audit_records().await.unwrap();
}

async fn log(rig: Rig) {
    let db = audited(&rig).await;
    work(&db, "a").await;
    work(&db, "b").await;
    let kept = anchor(&db, &key()).await.unwrap();
    assert_eq!(kept.count.get(), 6);
    let sibling = rig.sibling("copy");
    let stack = sibling.builder().layer(AuditLayer::new(key())).backend(sibling.open().await);
    let to = stack.build().expect("it claims to keep a log");
    demote(&to).await.unwrap();
    // A page at a time, and of what came after it was copied too.
    copy(&db, &to, 4).await;
    work(&db, "c").await;
    copy(&db, &to, 4).await;
    let before = entries(&db, ChangeScope::Store).await;
    assert_eq!(before.len(), 9);
    assert_eq!(entries(&to, ChangeScope::Store).await, before);
    // The other store goes on with the chain, and the first has it when it follows.
    demote(&db).await.unwrap();
    promote(&to).await;
    work(&to, "d").await;
    let after = entries(&to, ChangeScope::Store).await;
    assert_eq!((after.len(), &after[..9]), (12, &before[..]));
    let report = verify(&to, &key(), &[kept]).await.unwrap();
    assert!(report.is_intact(), "{report:?}");
    assert_eq!((report.intact.get(), report.anchored.get()), (12, 6));
    refused(db.thread("t").add(said("e", "x")).await, throughline_core::ErrorKind::NotPrimary);
}
