//! Lists, searches and take last message after the store was reopened.

use std::time::Duration;

use throughline_core::{
    MetadataPatch, NewReservation, Role,
    messages::{ListAliases, Origin, Reserve, ResolveId},
    search::SearchMessages,
    threads::{ForkPoint, LabelPatch, ListPurgeable},
};

use crate::{
    check::checks,
    rig::Rig,
    shorthand::{entry, everything, id, ids, new_thread, position, said, thread_id},
};

checks! {
    Extended "durability.search_hits_survive_reopening" [Add Read; durable search] "a search returns the same hits after the store is reopened" => search;
    Extended "durability.provider_aliases_survive_reopening" [Thread Read; durable] "the list of provider aliases is unchanged after the store is reopened" => aliases;
    Extended "durability.thread_facts_survive_reopening" [Add Import Thread Read; durable] "metadata, labels, fork point and times of a thread are unchanged after the store is reopened" => thread_facts;
    Extended "durability.purgeable_threads_survive_reopening" [Add Thread Read; durable] "the list of purgeable threads is unchanged after the store is reopened" => purgeable;
    Extended "durability.open_message_list_survives_reopening" [Reserve Read; durable] "the list of open messages is complete after the store is reopened" => open_list;
    Extended "durability.last_message_can_be_taken_after_reopening" [Add Thread Read; durable] "the last message of a thread can be taken after the store is reopened" => take_last;
}

async fn search(rig: Rig) {
    let db = rig.db().await;
    db.thread("t").add(said("a", "a needle")).await.unwrap();
    let committed = position(&db.thread("u").add(said("b", "another needle")).reply().await.unwrap());
    let db = rig.reopen(db).await;
    loop {
        let found = db.search(SearchMessages::new("needle", 10)).await.expect("a search");
        if found.indexed >= committed {
            let mut found: Vec<_> = found.hits.iter().map(|hit| hit.id.as_str()).collect();
            found.sort_unstable();
            assert_eq!(found, ["a", "b"]);
            return;
        }
        // An index follows the writes in its own time; nothing says when.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn aliases(rig: Rig) {
    let db = rig.db().await;
    for item in ["i", "j"] {
        let origin = Origin::new().in_turn("turn".parse().unwrap()).item(item.parse().unwrap());
        let ask = ResolveId { fresh: id(&format!("of {item}")), ..ResolveId::new(thread_id("t"), origin) };
        db.on_thread(ask).await.unwrap();
    }
    let list = ListAliases::new(thread_id("t"), 10);
    let before = db.read(list.clone()).await.unwrap();
    assert_eq!(before.aliases.len(), 2);
    let db = rig.reopen(db).await;
    assert_eq!(db.read(list).await.unwrap(), before);
}

async fn thread_facts(rig: Rig) {
    let db = rig.db().await;
    db.create_thread(new_thread("t")).await.unwrap();
    db.thread("t").annotate(MetadataPatch::new().set("k", &1).unwrap()).await.unwrap();
    db.thread("t").label(LabelPatch::new().set("k", "v").unwrap()).await.unwrap();
    rig.clock.advance(Duration::from_secs(1));
    db.thread("t").add(said("m", "x")).await.unwrap();
    db.thread("t").fork(&id("m"), new_thread("f")).await.unwrap();
    let before = [entry(&db, "t").await, entry(&db, "f").await];
    assert!(before[0].active_at > before[0].created_at && !before[0].metadata.is_empty());
    assert_eq!(
        before[1].forked_from.as_deref(),
        Some(&ForkPoint { thread: thread_id("t"), message: id("m") })
    );
    let db = rig.reopen(db).await;
    assert_eq!([entry(&db, "t").await, entry(&db, "f").await], before);
}

async fn purgeable(rig: Rig) {
    let db = rig.db().await;
    for name in ["cleared", "deleted", "kept"] {
        db.thread(name).add(said("m", "x")).await.unwrap();
    }
    db.thread("cleared").clear().await.unwrap();
    db.thread("deleted").delete_thread().await.unwrap();
    let db = rig.reopen(db).await;
    let listed = db.read(ListPurgeable { after: None, limit: 10 }).await.unwrap().threads;
    assert_eq!(listed, ["cleared", "deleted"].map(thread_id));
}

async fn open_list(rig: Rig) {
    let db = rig.db().await;
    for (thread, name) in [("t", "a"), ("t", "b"), ("u", "c")] {
        let reservation = NewReservation::new(Role::Assistant).with_id(id(name));
        db.run(Reserve::new(thread_id(thread), reservation)).await.unwrap();
    }
    let before = db.open_reservations(10).await.unwrap();
    assert_eq!(ids(&before.messages), ["a", "b", "c"]);
    let db = rig.reopen(db).await;
    assert_eq!(db.open_reservations(10).await.unwrap(), before);
}

async fn take_last(rig: Rig) {
    let db = rig.db().await;
    for name in ["a", "b"] {
        db.thread("t").add(said(name, "x")).await.unwrap();
    }
    let db = rig.reopen(db).await;
    db.thread("t").take_last().await.expect("the last message is taken");
    assert_eq!(ids(&everything(&db.thread("t")).await), ["a"]);
}
