//! `PurgeThread` and `ListPurgeable`.

use throughline_core::{
    ErrorKind, NewMessage, Persistence, ThreadId,
    ids::AttachmentKey,
    threads::{ListPurgeable, PurgeThread, Purged},
};

use crate::{
    check::checks,
    rig::Rig,
    shorthand::{entry, everything, ids, refused, said, thread_id},
};

checks! {
    Extended "purges.attachments_are_returned_once" [Add Thread Read] "a purge returns the attachments of cleared or deleted messages once" => attachments;
    Extended "purges.purgeable_threads_are_listed_until_purged" [Add Thread Read] "purgeable threads are listed by tenant, in order, until they are purged" => list;
    Extended "purges.steps_are_bounded" [Add Thread Read] "one purge step frees a bounded number of messages and reports whether more remain" => steps;
    Extended "purges.live_thread_is_unchanged" [Add Thread Read] "a purge of a live thread frees and changes nothing" => narrow;
    Extended "purges.purged_thread_stays_deleted" [Add Thread Read] "a purged thread stays deleted, and a purged clear keeps its tombstones" => gone;
}

fn with_attachment(name: &str) -> NewMessage {
    said(name, "x").with_attachments([format!("of {name}").parse().expect("a valid key")])
}

fn text(keys: &[AttachmentKey]) -> Vec<&str> {
    let mut keys: Vec<&str> = keys.iter().map(AttachmentKey::as_str).collect();
    keys.sort_unstable();
    keys
}

/// Threads of three messages each, of which `kept` stays.
async fn three_threads(db: &Persistence) {
    for thread in ["cleared", "deleted", "kept"] {
        for name in ["a", "b", "c"] {
            db.thread(thread).add(with_attachment(name)).await.unwrap();
        }
    }
    db.thread("cleared").clear().await.unwrap();
    db.thread("deleted").delete_thread().await.unwrap();
    db.thread("cleared").add(with_attachment("new")).await.unwrap();
}

async fn attachments(rig: Rig) {
    let db = rig.db().await;
    three_threads(&db).await;
    for name in ["cleared", "deleted"] {
        let freed = db.thread(name).purge().await.unwrap();
        assert_eq!(text(&freed), ["of a", "of b", "of c"], "{name}");
        assert_eq!(db.thread(name).purge().await.unwrap(), [], "{name} again");
    }
    assert_eq!(ids(&everything(&db.thread("cleared")).await), ["new"]);
}

async fn purgeable(db: &Persistence) -> Vec<ThreadId> {
    let (mut threads, mut after) = (Vec::new(), None);
    loop {
        let mut page = db.read(ListPurgeable { after, limit: 1 }).await.unwrap().threads;
        assert!(page.len() < 2);
        let Some(last) = page.pop() else { return threads };
        after = Some(last.clone());
        threads.push(last);
    }
}

async fn list(rig: Rig) {
    let db = rig.db().await;
    let other = db.for_tenant("other".parse().unwrap());
    assert_eq!(purgeable(&db).await, []);
    three_threads(&db).await;
    assert_eq!(purgeable(&db).await, ["cleared", "deleted"].map(thread_id));
    assert_eq!(purgeable(&other).await, []);
    let freed = db.purge().await.unwrap();
    assert_eq!(freed.len(), 6);
    assert!(freed.iter().all(|(thread, _)| thread.as_str() != "kept"));
    assert_eq!(purgeable(&db).await, []);
    assert_eq!(db.purge().await.unwrap(), []);
}

async fn steps(rig: Rig) {
    let db = rig.db().await;
    three_threads(&db).await;
    for name in ["cleared", "deleted"] {
        let (mut messages, mut keys, mut more) = (0, Vec::new(), true);
        let mut calls = 0;
        while more {
            let purge = PurgeThread { thread: thread_id(name), limit: 1 };
            let answer = db.on_thread(purge).await.unwrap();
            assert!(answer.messages <= 1 && !answer.deduplicated, "{answer:?}");
            messages += answer.messages;
            keys.extend(answer.attachments);
            more = answer.more;
            calls += 1;
            assert!(calls < 20, "there is always more");
        }
        assert_eq!((messages, text(&keys)), (3, vec!["of a", "of b", "of c"]), "{name}");
    }
}

async fn narrow(rig: Rig) {
    let db = rig.db().await;
    three_threads(&db).await;
    let before = (entry(&db, "kept").await, everything(&db.thread("kept")).await);
    let answer = db.on_thread(PurgeThread { thread: thread_id("kept"), limit: 10 }).await.unwrap();
    let due = Purged {
        thread: thread_id("kept"),
        messages: 0,
        attachments: vec![],
        more: false,
        deduplicated: false,
    };
    assert_eq!(answer, due);
    db.purge().await.unwrap();
    assert_eq!((entry(&db, "kept").await, everything(&db.thread("kept")).await), before);
    refused(db.thread("unknown").purge().await, ErrorKind::NotFound);
}

async fn gone(rig: Rig) {
    let db = rig.db().await;
    three_threads(&db).await;
    let before = entry(&db, "cleared").await;
    db.purge().await.unwrap();
    assert_eq!(entry(&db, "cleared").await, before);
    refused(db.thread("cleared").add(said("a", "x")).await, ErrorKind::Gone);
    assert_eq!(db.thread("deleted").summary().await.unwrap(), None);
    refused(db.thread("deleted").add(said("n", "x")).await, ErrorKind::Gone);
    assert!(db.thread("deleted").delete_thread().await.unwrap().already);
}
