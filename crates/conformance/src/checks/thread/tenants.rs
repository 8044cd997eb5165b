//! `ListTenants`.

use throughline_core::{ErrorKind, NewMessage, Persistence, TenantId, threads::ListTenants};

use crate::{check::checks, rig::Rig, shorthand::refused};

checks! {
    Extended "threads.tenants_are_listed_in_order" [Add Thread Read] "the list of tenants contains each tenant with a thread once, in order, page by page" => listed;
    Extended "threads.tenants_of_purged_threads_are_listed" [Add Delete Thread Read] "a tenant stays in the list of tenants after all its threads are deleted and purged" => purged;
    Extended "threads.tenants_without_a_thread_are_not_listed" [Add Thread Read] "reads and refused writes add no tenant to the list of tenants" => absent;
}

/// Other checks can share the store: only tenants with this prefix belong to these checks.
const PREFIX: &str = "tenants-";

fn of(db: &Persistence, name: &str) -> Persistence {
    db.for_tenant(format!("{PREFIX}{name}").parse().expect("a valid id"))
}

/// The tenants of these checks, in pages of `limit`.
async fn tenants(db: &Persistence, limit: u32) -> Vec<String> {
    let (mut found, mut after) = (Vec::new(), Some(TenantId::new(PREFIX).expect("a valid id")));
    loop {
        let page = db.tenants(after, limit).await.unwrap().tenants;
        assert!(page.len() <= limit as usize, "{page:?}");
        let is_last = page.len() < limit as usize;
        after = page.last().cloned();
        found.extend(page.iter().map_while(|tenant| tenant.as_str().strip_prefix(PREFIX)).map(str::to_owned));
        if is_last {
            return found;
        }
    }
}

async fn listed(rig: Rig) {
    let db = rig.db().await;
    for (tenant, thread) in [("b", "t"), ("a", "t"), ("b", "u"), ("é", "t"), ("aa", "t"), ("B", "t")] {
        of(&db, tenant).thread(thread).add(NewMessage::user("hello")).await.unwrap();
    }
    for limit in [1, 2, 3, 1000] {
        assert_eq!(tenants(&db, limit).await, ["B", "a", "aa", "b", "é"], "in pages of {limit}");
    }
    // The list is about the store, whichever tenant asks.
    assert_eq!(tenants(&of(&db, "a"), 1000).await, ["B", "a", "aa", "b", "é"]);
    for limit in [0, 1001] {
        refused(db.read(ListTenants { after: None, limit }).await, ErrorKind::Invalid);
    }
}

async fn purged(rig: Rig) {
    let db = rig.db().await;
    let one = of(&db, "one");
    one.thread("t").add(NewMessage::user("hello")).await.unwrap();
    one.thread("t").delete_thread().await.unwrap();
    assert_eq!(tenants(&db, 10).await, ["one"]);
    one.purge().await.unwrap();
    assert_eq!(tenants(&db, 10).await, ["one"]);
}

async fn absent(rig: Rig) {
    let db = rig.db().await;
    let thread = of(&db, "one").thread("t");
    assert_eq!(thread.get("m".parse().unwrap()).await.unwrap(), None);
    refused(thread.clear().await, ErrorKind::NotFound);
    refused(thread.delete_thread().await, ErrorKind::NotFound);
    assert_eq!(tenants(&db, 10).await, [""; 0]);
}
