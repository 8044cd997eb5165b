//! Closed and opened again.

use std::time::Duration;

use throughline_core::{
    ErrorKind, MetadataPatch, NewReservation, Persistence, Role,
    messages::{Add, Reserve, UpdateMode},
};

use crate::{
    check::checks,
    rig::Rig,
    shorthand::{append, everything, facts, id, ids, position, refused, said},
};

checks! {
    Extended "durability.every_row_survives_reopening" [Add Reserve UpdateContent Update Delete Read; durable] "every message of every state, thread and tenant is unchanged after the store is reopened" => all;
    Extended "durability.tombstones_survive_reopening" [Add Reserve Delete Read; durable] "a deleted id stays unusable after the store is reopened" => tombstones;
    Extended "durability.counters_continue_after_reopening" [Add Delete Read; durable] "sequence numbers and positions continue after the store is reopened and are never reused" => counters;
    Extended "durability.drafts_can_finish_after_reopening" [Reserve UpdateContent Read; durable] "an open message keeps its lease and can be finished after the store is reopened" => open;
    Extended "durability.reopening_after_every_write_loses_nothing" [Add UpdateContent Read; durable] "a store that is reopened after every write loses no write" => repeatedly;
}

async fn fill(db: &Persistence) {
    for thread in ["t", "u"] {
        let thread = db.thread(thread);
        let message = said("said", "hello").with_metadata(facts(r#"{"n":1.10}"#));
        thread.add(message.with_attachments(["a".parse().unwrap()])).await.unwrap();
        for name in ["reserved", "streaming", "final", "abandoned"] {
            let reservation = NewReservation::new(Role::Assistant).with_id(id(name));
            db.run(Reserve::new(thread.id().unwrap().clone(), reservation)).await.unwrap();
        }
        for (name, mode) in [
            ("streaming", UpdateMode::Partial),
            ("final", UpdateMode::Final),
            ("abandoned", UpdateMode::Abandon { reason: Some("why".to_owned()) }),
        ] {
            thread.update_content(id(name), append("a"), UpdateMode::Partial).await.unwrap();
            thread.update_content(id(name), append("b"), mode).await.unwrap();
        }
        thread.update(id("streaming"), MetadataPatch::new().set("k", &1).unwrap()).await.unwrap();
        thread.add(said("gone", "x")).await.unwrap();
        thread.delete(id("gone")).await.unwrap();
    }
}

async fn all(rig: Rig) {
    let db = rig.db().await;
    let tenants = ["a", "b"];
    let mut before = Vec::new();
    for tenant in tenants {
        let db = db.for_tenant(tenant.parse().unwrap());
        fill(&db).await;
        rig.clock.advance(Duration::from_secs(1));
        for thread in ["t", "u"] {
            before.push(everything(&db.thread(thread)).await);
        }
    }
    let db = rig.reopen(db).await;
    let mut after = Vec::new();
    for tenant in tenants {
        let db = db.for_tenant(tenant.parse().unwrap());
        for thread in ["t", "u"] {
            after.push(everything(&db.thread(thread)).await);
        }
    }
    assert_eq!(after, before);
    assert_eq!(ids(&before[0]), ["said", "reserved", "streaming", "final", "abandoned"]);
}

async fn tombstones(rig: Rig) {
    let db = rig.db().await;
    db.thread("t").add(said("m", "x")).await.unwrap();
    db.thread("t").delete(id("m")).await.unwrap();
    let db = rig.reopen(db).await;
    refused(db.thread("t").add(said("m", "x")).await, ErrorKind::Gone);
    let reservation = NewReservation::new(Role::Assistant).with_id(id("m"));
    refused(db.run(Reserve::new("t".parse().unwrap(), reservation)).await, ErrorKind::Gone);
    assert_eq!(everything(&db.thread("t")).await, []);
    db.thread("t").add(said("n", "x")).await.expect("another id lives");
}

async fn counters(rig: Rig) {
    let mut db = rig.db().await;
    let (mut seq, mut at) = (throughline_core::Seq::ZERO, throughline_core::Position::ZERO);
    for number in 0..4 {
        let name = format!("m{number}");
        let added = db.run(Add::new("t".parse().unwrap(), said(&name, "x"))).reply().await.unwrap();
        assert!(added.output.message.seq > seq, "a seq was reused");
        assert!(position(&added) > at, "a position was given again");
        // The newest message is deleted, so no row shows the last assigned seq.
        let deleted = db.thread("t").delete(id(&name)).reply().await.unwrap();
        (seq, at) = (added.output.message.seq, position(&deleted));
        db = rig.reopen(db).await;
    }
}

async fn open(rig: Rig) {
    let db = rig.db().await;
    let reservation = NewReservation::new(Role::Assistant).with_id(id("m"));
    db.run(Reserve::new("t".parse().unwrap(), reservation)).await.unwrap();
    db.thread("t").update_content(id("m"), append("a"), UpdateMode::Partial).await.unwrap();
    let before = db.open_reservations(10).await.unwrap();
    assert_eq!(ids(&before.messages), ["m"]);
    assert!(before.messages[0].lease.is_some());
    let db = rig.reopen(db).await;
    assert_eq!(db.open_reservations(10).await.unwrap(), before);
    let page = db.thread("t").page(throughline_core::messages::PageFrom::Start, 1).await.unwrap();
    assert_eq!(page.first_open, Some(before.messages[0].seq));
    db.thread("t").update_content(id("m"), append("b"), UpdateMode::Final).await.unwrap();
    let db = rig.reopen(db).await;
    assert_eq!(db.open_reservations(10).await.unwrap().messages, []);
    let content = everything(&db.thread("t")).await.remove(0).content;
    assert_eq!(content, throughline_core::Content::text("ab"));
}

async fn repeatedly(rig: Rig) {
    let mut db = rig.db().await;
    let mut names = Vec::new();
    for number in 0..10 {
        let name = format!("m{number}");
        db.thread("t").add(said(&name, "x")).await.unwrap();
        db.thread("t").edit(id(&name), throughline_core::Content::text(&name)).await.unwrap();
        names.push(name);
        db = rig.reopen(db).await;
        let read = everything(&db.thread("t")).await;
        assert_eq!(ids(&read), names);
        let texts = names.iter().map(|name| throughline_core::Content::text(name));
        assert!(read.into_iter().map(|message| message.content).eq(texts));
    }
}
