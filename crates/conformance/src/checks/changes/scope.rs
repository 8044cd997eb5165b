//! The scope of a read of changes: a thread, a tenant or the store.

use throughline_core::{Persistence, Position, changes::ChangeScope};

use crate::{
    check::checks,
    rig::Rig,
    shorthand::{changes_after, id, said, thread_id},
};

checks! {
    Extended "changes.tenant_reads_only_its_own_changes" [Add Delete Read; changes] "a tenant reads its own changes and no changes of other tenants" => tenant;
    Extended "changes.thread_scope_shows_that_thread" [Add Delete Read; changes] "a read with thread scope returns the changes of that thread only" => thread;
    Extended "changes.store_scope_covers_every_tenant" [Add Delete Read; changes] "a read with store scope returns the changes of all tenants, in one order" => store;
}

/// Two tenants with two threads each, of the same names.
async fn four(rig: &Rig) -> [Persistence; 2] {
    let db = rig.db().await;
    let other = db.for_tenant("other".parse().unwrap());
    for name in ["a", "b"] {
        for db in [&db, &other] {
            for thread in ["t", "T"] {
                db.thread(thread).add(said(name, "x")).await.unwrap();
            }
        }
    }
    other.thread("t").delete(id("a")).await.unwrap();
    [db, other]
}

async fn shown(db: &Persistence, scope: ChangeScope) -> Vec<String> {
    let changes = changes_after(db, scope, Position::ZERO).await;
    assert!(changes.is_sorted_by(|a, b| a.position < b.position), "{changes:?}");
    let text = |change: &throughline_core::changes::Change| {
        let message = change.kind.message().expect("of a message");
        format!("{} {} {}", change.tenant, change.thread, message.id)
    };
    changes.iter().map(text).collect()
}

async fn tenant(rig: Rig) {
    let [db, other] = four(&rig).await;
    let name = db.tenant().clone();
    let due = ["t a", "T a", "t b", "T b"].map(|case| format!("{name} {case}"));
    assert_eq!(shown(&db, ChangeScope::Tenant).await, due);
    let due = ["t a", "T a", "t b", "T b", "t a"].map(|case| format!("other {case}"));
    assert_eq!(shown(&other, ChangeScope::Tenant).await, due);
    let stranger = db.for_tenant("third".parse().unwrap());
    assert_eq!(shown(&stranger, ChangeScope::Tenant).await, Vec::<String>::new());
}

async fn thread(rig: Rig) {
    let [db, other] = four(&rig).await;
    let of = |name: &str| ChangeScope::Thread(thread_id(name));
    let name = db.tenant().clone();
    assert_eq!(shown(&db, of("t")).await, ["t a", "t b"].map(|case| format!("{name} {case}")));
    assert_eq!(shown(&other, of("t")).await, ["other t a", "other t b", "other t a"]);
    assert_eq!(shown(&other, of("T")).await, ["other T a", "other T b"]);
    assert_eq!(shown(&db, of("u")).await, Vec::<String>::new());
}

async fn store(rig: Rig) {
    let [db, other] = four(&rig).await;
    let seen = shown(&db, ChangeScope::Store).await;
    assert_eq!(seen.len(), 9);
    assert_eq!(seen, shown(&other, ChangeScope::Store).await);
    let name = db.tenant().clone();
    let due = [
        format!("{name} t a"),
        format!("{name} T a"),
        "other t a".to_owned(),
        "other T a".to_owned(),
        format!("{name} t b"),
    ];
    assert_eq!(seen[..5], due);
}
