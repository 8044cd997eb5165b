//! `ClearThread`, and the generations of a thread.

use std::time::Duration;

use throughline_core::{
    ErrorKind, Labels, NewReservation, Role, Seq,
    messages::{Add, Batch, PageFrom, Reserve, UpdateMode, Visibility},
    threads::{ClearThread, Generation},
};

use crate::{
    check::checks,
    rig::Rig,
    shorthand::{append, entry, everything, facts, id, ids, new_thread, refused, said, thread_id, title},
};

checks! {
    Extended "threads.clear_removes_every_message" [Add Reserve Thread Read] "clear removes every message of any state from all reads and starts the next generation" => clear;
    Extended "threads.clear_keeps_the_thread_and_its_neighbors" [Add Thread Read] "clear keeps title, owner, labels and metadata of the thread, and every other thread" => narrow;
    Extended "threads.cleared_ids_and_seqs_are_not_reused" [Add Reserve Delete Thread Read] "clear leaves tombstones for its message ids, and no sequence number is reused" => dead;
    Extended "threads.late_update_after_clear_is_not_found" [Add Reserve UpdateContent Update Delete Thread Read] "an update of a message that a clear removed fails as not found" => late;
    Extended "threads.message_of_another_generation_is_stale" [Add Reserve Thread Read] "the store refuses a message of another generation as stale and accepts the current or none" => generation;
    Extended "threads.batch_of_another_generation_is_refused" [Add Batch Thread Read] "a batch with a message of another generation has no effect" => batch;
    Extended "threads.clear_of_another_generation_is_stale" [Add Thread Read] "a clear that expects another generation is refused as stale" => expected;
}

async fn clear(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    thread.add(said("m", "x")).await.unwrap();
    for name in ["r", "s"] {
        let row = NewReservation::new(Role::Assistant).with_id(id(name));
        db.run(Reserve::new(thread_id("t"), row)).await.unwrap();
    }
    thread.update_content(id("s"), append("x"), UpdateMode::Abandon { reason: None }).await.unwrap();
    let mut due = entry(&db, "t").await;
    let now = rig.clock.advance(Duration::from_secs(1));
    let answer = thread.clear().await.unwrap();
    (due.generation, due.messages, due.turns, due.bytes) = (Generation::new(2), 0, 0, 0);
    (due.preview, due.updated_at) = (None, now);
    assert_eq!((&answer.summary, answer.deduplicated), (&due, false));
    assert_eq!(entry(&db, "t").await, due);
    for name in ["m", "r", "s"] {
        assert_eq!(thread.get(id(name)).await.unwrap(), None);
    }
    for visibility in [Visibility::All, Visibility::Final, Visibility::Settled] {
        let page = thread.page_showing(PageFrom::Start, 10, visibility).await.unwrap();
        assert_eq!((page.messages, page.has_more, page.first_open), (vec![], false, None));
    }
    assert_eq!(thread.open_reservations(10).await.unwrap().messages, []);
    assert_eq!(
        db.run(throughline_core::ReadArgs::from(throughline_core::messages::ListOpen::new(10)))
            .await
            .unwrap()
            .messages(),
        []
    );
    // And it goes on from there.
    thread.add(said("n", "y")).await.unwrap();
    assert_eq!(ids(&everything(&thread).await), ["n"]);
    assert_eq!(entry(&db, "t").await.messages, 1);
    assert_eq!(thread.clear().await.unwrap().summary.generation, Generation::new(3));
}

async fn narrow(rig: Rig) {
    let db = rig.db().await;
    let other = db.for_tenant("other".parse().unwrap());
    let labels = Labels::new().with("project", "atlas").unwrap();
    let new = new_thread("t").with_title(title("kept")).with_owner("o".parse().unwrap());
    let recorded = facts(r#"{"n":1.10}"#);
    db.create_thread(new.with_labels(labels.clone()).with_metadata(recorded.clone())).await.unwrap();
    for thread in [db.thread("t"), db.thread("T"), db.thread("u"), other.thread("t")] {
        thread.add(said("m", "x")).await.unwrap();
    }
    db.thread("t").archive(true).await.unwrap();
    let before = [entry(&db, "T").await, entry(&db, "u").await, entry(&other, "t").await];
    let cleared = db.thread("t").clear().await.unwrap().summary;
    assert_eq!(
        (&cleared.title, &cleared.owner, &cleared.labels, &cleared.metadata),
        (&title("kept"), &Some("o".parse().unwrap()), &labels, &recorded)
    );
    assert!(cleared.archived && cleared.listed);
    assert_eq!(entry(&db, "t").await, cleared);
    assert_eq!([entry(&db, "T").await, entry(&db, "u").await, entry(&other, "t").await], before);
    for thread in [db.thread("T"), db.thread("u"), other.thread("t")] {
        assert_eq!(ids(&everything(&thread).await), ["m"]);
    }
    assert_eq!(everything(&db.thread("t")).await, []);
}

async fn dead(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let mut last = Seq::ZERO;
    for name in ["a", "b", "deleted"] {
        last = thread.add(said(name, "x")).await.unwrap().message.seq;
    }
    thread.delete(id("deleted")).await.unwrap();
    thread.clear().await.unwrap();
    for name in ["a", "b", "deleted"] {
        refused(thread.add(said(name, "y")).await, ErrorKind::Gone);
        let row = NewReservation::new(Role::Assistant).with_id(id(name));
        refused(db.run(Reserve::new(thread_id("t"), row)).await, ErrorKind::Gone);
    }
    let added = thread.add(said("c", "x")).await.expect("another id lives").message;
    assert!(added.seq > last, "{} was given after {last}", added.seq);
    db.thread("u").add(said("a", "x")).await.expect("dead in one thread only");
}

async fn late(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    thread.add(said("m", "x")).await.unwrap();
    let row = NewReservation::new(Role::Assistant).with_id(id("r"));
    db.run(Reserve::new(thread_id("t"), row)).await.unwrap();
    let mut draft = thread.reserve(NewReservation::new(Role::Assistant).with_id(id("d"))).await.unwrap();
    draft.append("before").await.unwrap();
    thread.clear().await.unwrap();
    for mode in [UpdateMode::Partial, UpdateMode::Final, UpdateMode::Abandon { reason: None }] {
        refused(thread.update_content(id("r"), append("late"), mode).await, ErrorKind::NotFound);
    }
    draft.append("late").await.ok();
    draft.finish().await.expect_err("its message is gone");
    refused(thread.edit(id("m"), throughline_core::Content::text("late")).await, ErrorKind::NotFound);
    refused(thread.update(id("m"), Default::default()).await, ErrorKind::NotFound);
    refused(thread.delete(id("m")).await, ErrorKind::NotFound);
    assert_eq!(everything(&thread).await, []);
}

async fn generation(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let (one, two) = (Generation::FIRST, Generation::new(2));
    let reserve = |name: &str, generation| {
        let row = NewReservation::new(Role::Assistant).with_id(id(name)).in_generation(generation);
        db.run(Reserve::new(thread_id("t"), row))
    };
    // The first one before there is a thread.
    refused(thread.add(said("a", "x").in_generation(two)).await, ErrorKind::Stale);
    refused(reserve("a", two).await, ErrorKind::Stale);
    assert_eq!(thread.summary().await.unwrap(), None);
    thread.add(said("a", "x").in_generation(one)).await.unwrap();
    reserve("b", one).await.unwrap();
    thread.clear().await.unwrap();
    for generation in [one, Generation::new(3)] {
        refused(thread.add(said("c", "x").in_generation(generation)).await, ErrorKind::Stale);
        refused(reserve("c", generation).await, ErrorKind::Stale);
    }
    assert_eq!(everything(&thread).await, []);
    thread.add(said("c", "x").in_generation(two)).await.unwrap();
    reserve("d", two).await.unwrap();
    thread.add(said("e", "x")).await.expect("a write without a generation is accepted");
    assert_eq!(ids(&everything(&thread).await), ["c", "d", "e"]);
}

async fn batch(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    thread.add(said("a", "x")).await.unwrap();
    thread.clear().await.unwrap();
    let stale = Add::new(thread_id("t"), said("c", "x").in_generation(Generation::FIRST));
    let both = Batch::new().with(Add::new(thread_id("t"), said("b", "x"))).with(stale);
    let error = refused(db.batch(both).await, ErrorKind::Stale);
    assert_eq!(error.batch_index(), Some(1));
    assert_eq!(everything(&thread).await, []);
    // Cleared in the same batch, the generation is another one for what follows.
    let next = Add::new(thread_id("t"), said("d", "x").in_generation(Generation::new(3)));
    db.batch(Batch::new().with(ClearThread::new(thread_id("t"))).with(next)).await.unwrap();
    assert_eq!(ids(&everything(&thread).await), ["d"]);
    assert_eq!(entry(&db, "t").await.generation, Generation::new(3));
}

async fn expected(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    thread.add(said("a", "x")).await.unwrap();
    let clear = |generation| db.on_thread(ClearThread::new(thread_id("t")).expecting(generation));
    let before = entry(&db, "t").await;
    refused(clear(Generation::new(2)).await, ErrorKind::Stale);
    assert_eq!((entry(&db, "t").await, ids(&everything(&thread).await)), (before, vec!["a"]));
    assert_eq!(clear(Generation::FIRST).await.unwrap().summary.generation, Generation::new(2));
    thread.add(said("b", "x")).await.unwrap();
    refused(clear(Generation::FIRST).await, ErrorKind::Stale);
    assert_eq!(ids(&everything(&thread).await), ["b"]);
}
