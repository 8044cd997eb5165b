//! The part of the audit log that each reader sees.

use throughline_core::{
    ErrorKind, Persistence, Position,
    audit::{AuditFrom, AuditNumber, ReadAudit},
    changes::ChangeScope,
    messages::{Add, Batch, ReadPage},
};

use super::{about, audited, entries};
use crate::{
    check::checks,
    rig::Rig,
    shorthand::{position, refused, said, thread_id},
};

checks! {
    Extended "audit.tenant_reads_only_its_own_entries" [Add Read; audit] "a tenant reads its own audit entries and no entries of other tenants" => tenant;
    Extended "audit.thread_log_withholds_other_threads" [Add Batch Read; audit] "the audit log of a thread shows only that thread's operations and counts the withheld ones" => thread;
    Extended "audit.page_reports_written_count_and_position" [Add Read; audit] "a page of the audit log reports the number of written entries and the store's position" => written;
    Extended "audit.pages_run_in_both_directions" [Add Read; audit] "the audit log can be read page by page from either end, without gaps or repeats" => pages;
}

async fn shown(db: &Persistence, scope: ChangeScope) -> Vec<String> {
    let found = entries(db, scope).await;
    assert!(found.is_sorted_by(|a, b| a.number < b.number), "{found:?}");
    found.iter().map(|entry| format!("{} {}", entry.record.tenant, about(entry).join(" "))).collect()
}

async fn written(rig: Rig) {
    let db = audited(&rig).await;
    let other = db.for_tenant("other".parse().unwrap());
    let end = async |db: &Persistence, scope| {
        let page = db.read(ReadAudit::new(scope, AuditFrom::End, 1)).await.unwrap();
        (page.written, page.position)
    };
    assert_eq!(end(&db, ChangeScope::Store).await, (AuditNumber::ZERO, Position::ZERO));
    db.thread("t").add(said("a", "x")).await.unwrap();
    let reply = db.thread("t").add(said("b", "x")).reply().await.unwrap();
    let due = (AuditNumber::new(2), position(&reply));
    assert_eq!(end(&db, ChangeScope::Store).await, due);
    // It counts the whole store: numbers do.
    assert_eq!(end(&other, ChangeScope::Tenant).await, due);
}

async fn tenant(rig: Rig) {
    let db = audited(&rig).await;
    let other = db.for_tenant("other".parse().unwrap());
    for name in ["a", "b"] {
        for db in [&db, &other] {
            db.thread("t").add(said(name, "x")).await.unwrap();
        }
    }
    let name = db.tenant().clone();
    let ours = ["a", "b"].map(|id| format!("{name} add t {id}"));
    assert_eq!(shown(&db, ChangeScope::Tenant).await, ours);
    assert_eq!(shown(&db, ChangeScope::Thread(thread_id("t"))).await, ours);
    assert_eq!(shown(&other, ChangeScope::Tenant).await, ["other add t a", "other add t b"]);
    let all = [&ours[0], "other add t a", &ours[1], "other add t b"];
    assert_eq!(shown(&other, ChangeScope::Store).await, all);
    let stranger = db.for_tenant("third".parse().unwrap());
    assert_eq!(shown(&stranger, ChangeScope::Tenant).await, Vec::<String>::new());
}

async fn thread(rig: Rig) {
    let db = audited(&rig).await;
    let add = |thread: &str, name: &str| Add::new(thread_id(thread), said(name, "x"));
    db.thread("t").add(said("a", "x")).await.unwrap();
    db.thread("u").add(said("a", "x")).await.unwrap();
    db.batch(Batch::new().with(add("t", "b")).with(add("u", "b")).with(add("T", "b"))).await.unwrap();
    let of = async |name: &str| {
        let found = entries(&db, ChangeScope::Thread(thread_id(name))).await;
        let text = |entry: &throughline_core::audit::AuditEntry| {
            format!("{} {} -{}", entry.number, about(entry).join(" "), entry.withheld)
        };
        found.iter().map(text).collect::<Vec<_>>()
    };
    assert_eq!(of("t").await, ["1 add t a -0", "3 add t b -2"]);
    assert_eq!(of("u").await, ["2 add u a -0", "3 add u b -2"]);
    assert_eq!(of("T").await, ["3 add T b -2"]);
    assert_eq!(of("v").await, Vec::<String>::new());
}

async fn pages(rig: Rig) {
    let db = audited(&rig).await;
    for thread in ["t", "u", "t", "u", "t"] {
        db.thread(thread).add(throughline_core::NewMessage::user("x")).await.unwrap();
    }
    let numbers = async |scope: ChangeScope, from, limit| {
        let mut pages = Vec::new();
        let mut read = Some(ReadAudit::new(scope, from, limit));
        while let Some(asked) = read {
            let page = db.read(asked.clone()).await.unwrap();
            read = asked.next(&page);
            pages.push(page.entries.iter().map(|entry| entry.number.get()).collect::<Vec<_>>());
        }
        pages
    };
    let at = AuditNumber::new;
    let after = |number| AuditFrom::After(at(number));
    let before = |number| AuditFrom::Before(at(number));
    assert_eq!(numbers(ChangeScope::Store, after(0), 2).await, [vec![1, 2], vec![3, 4], vec![5]]);
    assert_eq!(numbers(ChangeScope::Store, after(4), 2).await, [[5]]);
    assert_eq!(numbers(ChangeScope::Store, AuditFrom::End, 3).await, [vec![3, 4, 5], vec![1, 2]]);
    assert_eq!(numbers(ChangeScope::Store, before(3), 2).await, [[1, 2]]);
    let nothing: [Vec<u64>; 1] = [vec![]];
    assert_eq!(numbers(ChangeScope::Store, after(5), 2).await, nothing);
    assert_eq!(numbers(ChangeScope::Store, after(u64::MAX >> 1), 2).await, nothing);
    assert_eq!(numbers(ChangeScope::Store, before(1), 2).await, nothing);
    let t = || ChangeScope::Thread(thread_id("t"));
    assert_eq!(numbers(t(), after(0), 2).await, [vec![1, 3], vec![5]]);
    assert_eq!(numbers(t(), AuditFrom::End, 2).await, [vec![3, 5], vec![1]]);
    for limit in [0, ReadPage::MAX_LIMIT + 1] {
        refused(db.read(ReadAudit::new(t(), after(0), limit)).await, ErrorKind::Invalid);
    }
}
