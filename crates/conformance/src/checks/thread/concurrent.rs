//! Threads under many writers at once, and after the store was opened again.

use throughline_core::{
    ErrorKind,
    threads::{Generation, LabelPatch, ListThreads, PruneThread, PublishThread, PurgeThread},
};

use crate::{
    check::checks,
    rig::Rig,
    shorthand::{entry, everything, id, ids, listed, new_thread, refused, said, thread_id, title},
};

checks! {
    Extended "threads.clear_is_atomic_for_concurrent_writers" [Add Thread Read; threads] "after a clear during concurrent adds no earlier message remains, and the summary counts the rest" => at_once;
    Extended "threads.state_survives_reopening" [Add Delete Thread Read; durable] "summaries, generations and tombstones are unchanged after the store is reopened" => reopened;
}

const WRITERS: usize = 4;
const CLEARED: u64 = 5;

async fn at_once(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    db.create_thread(new_thread("t")).await.unwrap();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (db, thread) = (db.clone(), thread.clone());
            tokio::spawn(async move {
                let mut added = Vec::new();
                for round in 0..10 {
                    let generation = entry(&db, "t").await.generation;
                    for number in 0..4 {
                        let name = format!("{writer}.{round}.{number}");
                        match thread.add(said(&name, "x").in_generation(generation)).await {
                            Ok(_) => added.push((generation, name)),
                            Err(error) => assert_eq!(error.kind(), ErrorKind::Stale, "{error}"),
                        }
                    }
                }
                added
            })
        })
        .collect();
    for _ in 0..CLEARED {
        for _ in 0..16 {
            tokio::task::yield_now().await;
        }
        thread.clear().await.unwrap();
    }
    let mut due = Vec::new();
    let last = Generation::new(CLEARED + 1);
    for writer in writers {
        let added = writer.await.expect("no writer panics");
        due.extend(added.into_iter().filter(|(generation, _)| *generation == last).map(|(_, name)| name));
    }
    let mut left: Vec<String> = ids(&everything(&thread).await).into_iter().map(str::to_owned).collect();
    left.sort_unstable();
    due.sort_unstable();
    assert_eq!(left, due);
    let now = entry(&db, "t").await;
    assert_eq!((now.generation, now.messages), (last, left.len() as u64));
    assert_eq!(thread.rebuild_summary().await.unwrap().summary, now);
}

async fn reopened(rig: Rig) {
    let db = rig.db().await;
    let new = new_thread("t").with_title(title("kept")).with_owner("o".parse().unwrap());
    db.create_thread(new).await.unwrap();
    for name in ["hidden", "deleted", "cleared", "pruned"] {
        let new = new_thread(name);
        db.create_thread(if name == "hidden" { new.hidden() } else { new }).await.unwrap();
        for message in ["a", "b", "c"] {
            db.thread(name).add(said(message, message)).await.unwrap();
        }
    }
    db.thread("t").label(LabelPatch::new().set("k", "v").unwrap()).await.unwrap();
    db.thread("t").archive(true).await.unwrap();
    db.thread("t").add(said("m", "x")).await.unwrap();
    db.thread("deleted").delete_thread().await.unwrap();
    db.thread("cleared").clear().await.unwrap();
    let through = everything(&db.thread("pruned")).await[1].seq;
    let prune = PruneThread { thread: thread_id("pruned"), through, generation: Generation::FIRST, limit: 9 };
    db.on_thread(prune).await.unwrap();
    let list = || ListThreads::new(2).archived_too();
    let mut before = listed(&db, list()).await;
    before.push(entry(&db, "hidden").await);
    assert_eq!(before.len(), 4);
    let db = rig.reopen(db).await;
    let mut after = listed(&db, list()).await;
    after.push(entry(&db, "hidden").await);
    assert_eq!(after, before);
    assert_eq!(ids(&everything(&db.thread("pruned")).await), ["c"]);
    for name in ["cleared", "pruned"] {
        refused(db.thread(name).add(said("a", "x")).await, ErrorKind::Gone);
    }
    let late = db.thread("cleared").add(said("late", "x").in_generation(Generation::FIRST));
    refused(late.await, ErrorKind::Stale);
    assert_eq!(db.thread("deleted").summary().await.unwrap(), None);
    refused(db.thread("deleted").add(said("n", "x")).await, ErrorKind::Gone);
    refused(db.create_thread(new_thread("deleted")).await, ErrorKind::Gone);
    // The pending work continues after the reopening.
    let freed = db.on_thread(PurgeThread { thread: thread_id("cleared"), limit: 100 }).await.unwrap();
    assert!(!freed.more);
    db.on_thread(PublishThread { thread: thread_id("hidden") }).await.unwrap();
    assert_eq!(listed(&db, list()).await.len(), 4);
    db.thread("hidden").delete(id("c")).await.unwrap();
    assert_eq!(entry(&db, "hidden").await.preview.as_deref(), Some("b"));
}
