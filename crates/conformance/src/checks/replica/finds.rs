//! Finds by metadata on a replica.

use std::time::Duration;

use throughline_core::{
    ErrorKind, Metadata, MetadataPatch, MetadataScalar, NewReservation, Persistence, Role, TenantId,
    messages::{FindMessages, FindOrder, FoundMessages, Reserve, UpdateMode, Visibility},
};

use super::{copy, demote, opened, promote, replica};
use crate::{
    check::checks,
    rig::Rig,
    shorthand::{append, id, ids, refused, said, thread_id},
};

checks! {
    Extended "replication.replica_finds_the_same_messages" [Replica Add Reserve UpdateContent Update Delete Thread Read; changes indexed_metadata] "every find on a replica returns what it returns on the primary" => same;
    Extended "replication.promoted_replica_finds_its_own_writes" [Replica Add Update Delete Read; changes indexed_metadata] "a promoted replica finds the copied messages, and those that it adds and patches" => promoted;
}

/// The values of the check.
const VALUES: [&str; 3] = ["tool", "other", "late"];

fn field(rig: &Rig) -> String {
    rig.capabilities.indexed_metadata.iter().next().expect("a declared field").to_owned()
}

fn metadata(field: &str, value: &str) -> Metadata {
    let mut metadata = Metadata::new();
    metadata.set_raw(field, MetadataScalar::from(value).to_json());
    metadata
}

fn patch(field: &str, value: &str) -> MetadataPatch {
    MetadataPatch::new().set(field, value).expect("a value")
}

async fn add(db: &Persistence, thread: &str, name: &str, (field, value): (&str, &str)) {
    db.thread(thread).add(said(name, "x").with_metadata(metadata(field, value))).await.unwrap();
}

/// A find of the messages with this value, the oldest first.
fn oldest(field: &str, value: &str) -> FindMessages {
    FindMessages::new(field, value, 100).ordered(FindOrder::OldestFirst)
}

async fn found(db: &Persistence, find: FindMessages) -> Vec<String> {
    let page = db.find(find).await.unwrap();
    assert_eq!((page.damaged, page.next), (Vec::new(), None));
    ids(&page.messages).into_iter().map(str::to_owned).collect()
}

/// The first page of every find that the check compares.
async fn every_page(db: &Persistence, field: &str) -> Vec<FoundMessages> {
    let mut pages = Vec::new();
    for tenant in [db.tenant().clone(), "other".parse::<TenantId>().unwrap()] {
        let db = db.for_tenant(tenant);
        for value in VALUES {
            for order in [FindOrder::OldestFirst, FindOrder::NewestFirst] {
                for (visibility, limit) in [(Visibility::Final, 2), (Visibility::All, 100)] {
                    let find = FindMessages::new(field, value, limit).ordered(order).showing(visibility);
                    pages.push(db.find(find.clone()).await.unwrap());
                    for thread in ["t", "u", "cleared", "deleted"] {
                        pages.push(db.find(find.clone().in_thread(thread_id(thread))).await.unwrap());
                    }
                }
            }
        }
    }
    pages
}

/// Fills each tenant with messages in every state.
async fn fill(rig: &Rig, db: &Persistence, field: &str) {
    for tenant in [db.tenant().clone(), "other".parse::<TenantId>().unwrap()] {
        let db = db.for_tenant(tenant);
        for (thread, name, value) in [
            ("t", "stays", "tool"),
            ("u", "patched", "tool"),
            ("t", "deleted", "tool"),
            ("u", "elsewhere", "other"),
            ("cleared", "before", "tool"),
            ("deleted", "with its thread", "tool"),
        ] {
            add(&db, thread, name, (field, value)).await;
            rig.clock.advance(Duration::from_secs(1));
        }
        for name in ["open", "abandoned"] {
            let row = NewReservation::new(Role::Assistant).with_id(id(name));
            db.run(Reserve::new(thread_id("t"), row.with_metadata(metadata(field, "tool")))).await.unwrap();
            rig.clock.advance(Duration::from_secs(1));
        }
        let abandons = UpdateMode::Abandon { reason: None };
        db.thread("t").update_content(id("abandoned"), append("x"), abandons).await.unwrap();
    }
}

async fn same(rig: Rig) {
    let (db, field) = (opened(&rig).await, field(&rig));
    fill(&rig, &db, &field).await;
    let to = replica(&rig).await;
    copy(&db, &to, 3).await;
    assert_eq!(every_page(&to, &field).await, every_page(&db, &field).await, "after the snapshot");
    let due = ["stays", "patched", "deleted", "before", "with its thread"];
    assert_eq!(found(&to, oldest(&field, "tool")).await, due);

    // The changes after the snapshot: a value that is replaced, new ones, and messages that go.
    db.thread("u").update(id("patched"), patch(&field, "late")).await.unwrap();
    db.thread("u").update(id("elsewhere"), MetadataPatch::new().clear(&*field)).await.unwrap();
    db.thread("t").delete(id("deleted")).await.unwrap();
    db.thread("t").update_content(id("open"), append("x"), UpdateMode::Final).await.unwrap();
    db.thread("cleared").clear().await.unwrap();
    db.thread("deleted").delete_thread().await.unwrap();
    add(&db, "cleared", "after", (&field, "tool")).await;
    copy(&db, &to, 3).await;
    assert_eq!(every_page(&to, &field).await, every_page(&db, &field).await, "after later changes");
    assert_eq!(found(&to, oldest(&field, "tool")).await, ["stays", "open", "after"]);
    assert_eq!(found(&to, oldest(&field, "late")).await, ["patched"]);
    assert_eq!(found(&to, oldest(&field, "other")).await, Vec::<String>::new());
    let other = to.for_tenant("other".parse().unwrap());
    assert_eq!(found(&other, oldest(&field, "other")).await, ["elsewhere"]);

    // A page that began on one store continues on the other.
    let mut find = FindMessages::new(&field, "tool", 1).ordered(FindOrder::OldestFirst);
    let mut walked = Vec::new();
    for store in [&to, &db].into_iter().cycle().take(9) {
        let page = store.find(find.clone()).await.unwrap();
        walked.extend(ids(&page.messages).into_iter().map(str::to_owned));
        let Some(next) = page.next else { break };
        find = find.after(next);
    }
    assert_eq!(walked, ["stays", "open", "after"]);
}

async fn promoted(rig: Rig) {
    let (db, field) = (opened(&rig).await, field(&rig));
    // In the order of the thread: the clock of the replica is another one.
    let find = |value: &str| oldest(&field, value).in_thread(thread_id("t"));
    for name in ["a", "b", "c"] {
        add(&db, "t", name, (&field, "tool")).await;
        rig.clock.advance(Duration::from_secs(1));
    }
    let to = replica(&rig).await;
    copy(&db, &to, 2).await;
    demote(&db).await.unwrap();
    promote(&to).await;
    assert_eq!(found(&to, find("tool")).await, ["a", "b", "c"]);
    add(&to, "t", "d", (&field, "tool")).await;
    to.thread("t").update(id("a"), patch(&field, "other")).await.unwrap();
    to.thread("t").delete(id("b")).await.unwrap();
    assert_eq!(found(&to, find("tool")).await, ["c", "d"]);
    assert_eq!(found(&to, find("other")).await, ["a"]);
    // The former primary still answers finds, and takes no write.
    assert_eq!(found(&db, find("tool")).await, ["a", "b", "c"]);
    let refusal = db.thread("t").update(id("a"), patch(&field, "other")).await;
    refused(refusal, ErrorKind::NotPrimary);
    assert_eq!(found(&db, find("other")).await, Vec::<String>::new());
}
