//! When a thread is in the lists.

use throughline_core::{
    ErrorKind, NewReservation, Role,
    messages::{Import, ImportRow, Reserve, UpdateMode},
    threads::{ListThreads, PublishThread},
};

use crate::{
    check::checks,
    clock::ManualClock,
    rig::Rig,
    shorthand::{append, entry, everything, id, ids, listed, names, new_thread, refused, said, thread_id},
};

checks! {
    Extended "threads.empty_thread_is_not_listed" ("RR-S1") [Add Thread Read] "a created thread without messages is not listed, and its first message lists it with count one" => listed_by_first_message;
    Extended "threads.settled_message_lists_the_thread" [Reserve UpdateContent Thread Read] "a reservation alone does not list its thread, but a finished or abandoned message does" => settled;
    Extended "threads.listed_thread_stays_listed" [Add Delete Thread Read] "a listed thread stays listed after its messages are removed" => stays;
    Extended "threads.hidden_thread_is_listed_after_publish" [Add Import Thread Read] "a thread that was created hidden is not listed until it is published" => hidden;
    Extended "threads.publish_of_a_visible_thread_changes_nothing" [Add Thread Read] "publishing a visible thread changes nothing" => again;
}

fn all() -> ListThreads {
    ListThreads::new(10).archived_too()
}

async fn listed_by_first_message(rig: Rig) {
    let db = rig.db().await;
    db.create_thread(new_thread("t")).await.unwrap();
    assert_eq!(listed(&db, all()).await, []);
    let left = entry(&db, "t").await;
    assert_eq!((left.listed, left.messages), (false, 0));
    db.thread("t").add(said("m", "x")).await.unwrap();
    let entries = listed(&db, all()).await;
    assert_eq!((names(&entries), entries[0].messages), (vec!["t"], 1));
    assert_eq!(entries, [entry(&db, "t").await]);
    // Without `CreateThread`, the first message also lists the thread.
    db.thread("u").add(said("m", "x")).await.unwrap();
    assert_eq!(names(&listed(&db, all()).await), ["t", "u"]);
}

async fn settled(rig: Rig) {
    let db = rig.db().await;
    let reserve = |thread: &str, name: &str| {
        let row = NewReservation::new(Role::Assistant).with_id(id(name));
        db.run(Reserve::new(thread_id(thread), row))
    };
    let update = |thread: &str, mode| db.thread(thread).update_content(id("m"), append("x"), mode);
    for thread in ["abandoned", "finished", "open"] {
        reserve(thread, "m").await.unwrap();
        update(thread, UpdateMode::Partial).await.unwrap();
        assert!(!entry(&db, thread).await.listed);
    }
    assert_eq!(listed(&db, all()).await, []);
    update("finished", UpdateMode::Final).await.unwrap();
    update("abandoned", UpdateMode::Abandon { reason: None }).await.unwrap();
    let entries = listed(&db, all()).await;
    assert_eq!(names(&entries), ["abandoned", "finished"]);
    assert_eq!(entries.iter().map(|entry| entry.messages).collect::<Vec<_>>(), [0, 1]);
    assert!(!entry(&db, "open").await.listed);
}

async fn stays(rig: Rig) {
    let db = rig.db().await;
    for name in ["cleared", "emptied"] {
        db.thread(name).add(said("m", "x")).await.unwrap();
    }
    db.thread("emptied").delete(id("m")).await.unwrap();
    db.thread("cleared").clear().await.unwrap();
    let entries = listed(&db, all()).await;
    assert_eq!(names(&entries), ["cleared", "emptied"]);
    assert!(entries.iter().all(|entry| entry.listed && entry.messages == 0));
}

async fn hidden(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    db.create_thread(new_thread("t").hidden()).await.unwrap();
    let row = ImportRow::new(id("i"), Role::User, throughline_core::Content::text("x"), ManualClock::START);
    db.run(Import::new(thread_id("t"), vec![row])).await.unwrap();
    thread.add(said("m", "x")).await.unwrap();
    db.thread("u").add(said("m", "x")).await.unwrap();
    assert_eq!(names(&listed(&db, all()).await), ["u"]);
    let before = entry(&db, "t").await;
    assert_eq!((before.listed, before.messages), (false, 2));
    // Not hidden from who knows its id.
    assert_eq!(ids(&everything(&thread).await), ["i", "m"]);
    let published = db.on_thread(PublishThread { thread: thread_id("t") }).await.unwrap().summary;
    assert_eq!((published.listed, published.messages), (true, 2));
    assert_eq!(names(&listed(&db, all()).await), ["t", "u"]);
    // A thread without a message is listed after `PublishThread`.
    db.create_thread(new_thread("v").hidden()).await.unwrap();
    let published = db.on_thread(PublishThread { thread: thread_id("v") }).await.unwrap().summary;
    assert_eq!((published.listed, published.messages), (true, 0));
    assert_eq!(names(&listed(&db, all()).await).len(), 3);
    db.thread("v").clear().await.unwrap();
    assert!(entry(&db, "v").await.listed);
}

async fn again(rig: Rig) {
    let db = rig.db().await;
    db.thread("t").add(said("m", "x")).await.unwrap();
    let before = entry(&db, "t").await;
    rig.clock.advance(std::time::Duration::from_secs(1));
    let answer = db.on_thread(PublishThread { thread: thread_id("t") }).await.unwrap();
    assert_eq!((answer.summary, answer.deduplicated), (before.clone(), false));
    assert_eq!(entry(&db, "t").await, before);
    refused(db.on_thread(PublishThread { thread: thread_id("u") }).await, ErrorKind::NotFound);
}
