//! `DeleteThread`.

use throughline_core::{
    Content, ErrorKind, NewReservation, PersistArgs, Persistence, Role,
    changes::ChangeScope,
    messages::{Add, Batch, Delete, Import, ImportRow, PageFrom, Reserve, Update, UpdateContent, UpdateMode},
    threads::{CreateThread, Keep, ListThreads, PlanPrune, ThreadArgs},
};

use super::unknown;
use crate::{
    check::checks,
    clock::ManualClock,
    rig::Rig,
    shorthand::{
        append, changes_after, entry, everything, id, ids, listed, names, new_thread, refused, said,
        thread_id,
    },
};

checks! {
    Extended "threads.deleted_thread_is_in_no_read" [Add Reserve Thread Read] "no read shows data of a deleted thread" => gone;
    Extended "threads.write_to_a_deleted_thread_is_gone" ("RR-S12") [Add Reserve UpdateContent Update Delete Import Thread Read] "a write to a deleted thread is refused as gone, without effect" => every_write;
    Extended "threads.batch_to_a_deleted_thread_is_refused" ("RR-S12") [Add Batch Thread Read] "a batch with a write to a deleted thread has no effect" => batch;
    Extended "threads.call_before_deletion_is_not_replayed" ("RR-S12") [Add Thread Read; keys] "a call from before the deletion is not replayed after it" => replay;
    Extended "threads.second_deletion_succeeds_and_says_so" [Add Thread Read] "a second deletion of a thread succeeds and reports that it changed nothing" => again;
    Extended "threads.deletion_affects_one_thread_of_one_tenant" [Add Thread Read] "a deletion affects neither another thread nor the same id in another tenant" => narrow;
}

async fn gone(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    for name in ["t", "u"] {
        db.thread(name).add(said("m", "x")).await.unwrap();
        let row = NewReservation::new(Role::Assistant).with_id(id("r"));
        db.run(Reserve::new(thread_id(name), row)).await.unwrap();
    }
    let answer = thread.delete_thread().await.unwrap();
    assert_eq!((answer.thread, answer.already, answer.deduplicated), (thread_id("t"), false, false));
    assert_eq!(thread.summary().await.unwrap(), None);
    assert_eq!(names(&listed(&db, ListThreads::new(10).archived_too()).await), ["u"]);
    for name in ["m", "r"] {
        assert_eq!(thread.get(id(name)).await.unwrap(), None);
    }
    let page = thread.page(PageFrom::End, 10).await.unwrap();
    assert_eq!((page.messages, page.has_more, page.first_open), (vec![], false, None));
    assert_eq!(thread.open_reservations(10).await.unwrap().messages, []);
    let plan =
        db.read(PlanPrune { thread: thread_id("t"), keep: Keep::everything().messages(0) }).await.unwrap();
    assert_eq!((plan.through, plan.messages, plan.bytes), (None, 0, 0));
    assert_eq!(ids(&everything(&db.thread("u")).await), ["m", "r"]);
}

/// Every write there is, to the thread `t` with the messages `m` and `r`.
fn writes() -> Vec<PersistArgs> {
    let t = || thread_id("t");
    let row = ImportRow::new(id("i"), Role::User, Content::text("x"), ManualClock::START);
    let modes = [UpdateMode::Partial, UpdateMode::Final, UpdateMode::Abandon { reason: None }];
    let mut writes: Vec<PersistArgs> = vec![
        Add::new(t(), said("m", "x")).into(),
        Add::new(t(), said("new", "x")).into(),
        Reserve::new(t(), NewReservation::new(Role::Assistant).with_id(id("other"))).into(),
        UpdateContent::new(t(), id("m"), append("x"), UpdateMode::Edit).into(),
        Update::new(t(), id("m"), Default::default()).into(),
        Delete::new(t(), id("m")).into(),
        Import::new(t(), vec![row]).into(),
        CreateThread::new(new_thread("t")).into(),
    ];
    writes.extend(modes.map(|mode| UpdateContent::new(t(), id("r"), append("x"), mode).into()));
    let others = unknown::every(&t());
    // Deleting it again and freeing what it takes up is what remains to be done.
    let others =
        others.into_iter().filter(|args| !matches!(args, ThreadArgs::Delete(_) | ThreadArgs::Purge(_)));
    writes.extend(others.map(PersistArgs::Thread));
    writes
}

async fn every_write(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    for name in ["t", "u"] {
        db.thread(name).add(said("m", "x")).await.unwrap();
        let row = NewReservation::new(Role::Assistant).with_id(id("r"));
        db.run(Reserve::new(thread_id(name), row)).await.unwrap();
    }
    thread.delete_thread().await.unwrap();
    let reported = reported(&rig, &db).await;
    for args in writes() {
        let case = format!("{args:?}");
        let mut service = db.clone();
        let error = refused(tower_service::Service::call(&mut service, args).await, ErrorKind::Gone);
        assert_eq!(thread.summary().await.unwrap(), None, "{case}: {error}");
    }
    assert_eq!(everything(&thread).await, []);
    assert_eq!(thread.open_reservations(10).await.unwrap().messages, []);
    assert_eq!(self::reported(&rig, &db).await, reported, "a refused write emits a change event");
    // The neighbour takes all of it.
    db.thread("u")
        .update_content(id("r"), append("x"), UpdateMode::Final)
        .await
        .expect("another thread lives");
    assert_eq!(ids(&everything(&db.thread("u")).await), ["m", "r"]);
}

/// The number of change events, for a backend with a change feed.
async fn reported(rig: &Rig, db: &Persistence) -> usize {
    if !rig.capabilities.changes {
        return 0;
    }
    changes_after(db, ChangeScope::Tenant, throughline_core::Position::ZERO).await.len()
}

async fn batch(rig: Rig) {
    let db = rig.db().await;
    for name in ["t", "u"] {
        db.thread(name).add(said("m", "x")).await.unwrap();
    }
    db.thread("t").delete_thread().await.unwrap();
    let add = |thread: &str, name: &str| Add::new(thread_id(thread), said(name, "x"));
    for (items, index) in [([("u", "n"), ("t", "n")], 1), ([("t", "n"), ("u", "n")], 0)] {
        let both = items.iter().fold(Batch::new(), |batch, (thread, name)| batch.with(add(thread, name)));
        let error = refused(db.batch(both).await, ErrorKind::Gone);
        assert_eq!(error.batch_index(), Some(index));
        assert_eq!(ids(&everything(&db.thread("u")).await), ["m"]);
    }
    // Deleted by an item before it, a thread is gone for the items that follow.
    let delete = throughline_core::threads::DeleteThread { thread: thread_id("u") };
    let error = refused(db.batch(Batch::new().with(delete).with(add("u", "n"))).await, ErrorKind::Gone);
    assert_eq!(error.batch_index(), Some(1));
    assert_eq!(ids(&everything(&db.thread("u")).await), ["m"]);
    assert!(entry(&db, "u").await.listed);
}

async fn replay(rig: Rig) {
    let db = rig.db().await;
    let add = |thread: &str| db.thread(thread).add(said("m", "x")).key("k");
    for name in ["t", "u"] {
        add(name).await.unwrap();
    }
    db.thread("t").delete_thread().await.unwrap();
    refused(add("t").await, ErrorKind::Gone);
    assert!(add("u").await.unwrap().deduplicated);
}

async fn again(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    thread.add(said("m", "x")).await.unwrap();
    assert!(!thread.delete_thread().await.unwrap().already);
    for _ in 0..2 {
        let answer = thread.delete_thread().await.unwrap();
        assert_eq!((answer.thread, answer.already, answer.deduplicated), (thread_id("t"), true, false));
    }
    assert_eq!(thread.summary().await.unwrap(), None);
    refused(thread.add(said("n", "x")).await, ErrorKind::Gone);
}

async fn narrow(rig: Rig) {
    let db = rig.db().await;
    let other = db.for_tenant("other".parse().unwrap());
    let kept = [db.thread("T"), db.thread("t2"), other.thread("t")];
    db.thread("t").add(said("m", "x")).await.unwrap();
    let mut before = Vec::new();
    for thread in &kept {
        thread.add(said("m", "x")).await.unwrap();
        before.push((thread.summary().await.unwrap(), everything(thread).await));
    }
    db.thread("t").delete_thread().await.unwrap();
    for (thread, before) in kept.iter().zip(before) {
        assert_eq!((thread.summary().await.unwrap(), everything(thread).await), before);
        thread.add(said("n", "x")).await.expect("it lives");
    }
    // The deletion in the other tenant does not count as a repeated deletion.
    assert!(!other.thread("t").delete_thread().await.unwrap().already);
}
